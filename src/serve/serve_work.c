/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Offers of work, jobs for others, and the sessions that pay for both. What they mean is the
 * daemon's; here is only the way from a request to it and back. */
#include "serve/serve_reply.h"

#define WORK_SLICE_BYTES 4096 /* of a session that pays work, where no slices are */

static enum rr_err open_work_session(struct serve_request *request,
                                     struct rr_session_answer *answer,
                                     const struct rr_session_request *asked)
{
    const struct rr_serve_options *options = &request->serve->options;
    struct rr_manifest priced = {.resource_id = asked->resource_id,
                                 .slice_bytes = WORK_SLICE_BYTES};
    enum rr_err err = options->work_price(options->work_ctx, &asked->resource_id,
                                          &priced.slice_price, &request->fault);
    return err != RR_OK
               ? err
               : rr_till_open_session(options->till, answer, asked, &priced, &request->fault);
}

void serve_work_session(struct serve_request *request)
{
    struct rr_serve *serve = request->serve;
    struct rr_session_request asked = {0};
    struct rr_session_answer answer;
    struct serve_resource *resource = NULL;
    struct rr_buf text = {0};
    enum rr_err err =
        rr_session_request_decode(&asked, rr_buf_slice(&request->body), &request->fault);
    if (err == RR_OK) {
        err =
            serve_resources_load(serve->resources, &resource, &asked.resource_id, &request->fault);
        if (err == RR_OK) {
            err = rr_till_open_session(serve->options.till, &answer, &asked, &resource->manifest,
                                       &request->fault);
        } else if (err == RR_ERR_NOTFOUND && serve->options.work_price != NULL) {
            err = open_work_session(request, &answer, &asked);
        }
    }
    if (err == RR_OK) {
        rr_session_answer_encode(&text, &answer);
        request->blob = serve_blob_new(&text);
    }
    request->err = err;
    serve_resource_unref(resource);
    rr_session_request_clear(&asked);
}

static void work(struct serve_request *request)
{
    const struct rr_serve_options *options = &request->serve->options;
    struct rr_slice accept = serve_request_field(request, SERVE_ACCEPT);
    struct rr_slice header = serve_request_field(request, SERVE_PAYMENT);
    struct rr_slice path = serve_span_of(&request->bytes, request->head.path);
    struct rr_payment_header payment;
    struct rr_buf out = {0};
    struct rr_serve_work asked = {.post = request->head.method == SERVE_POST,
                                  .json = rr_slice_equal(accept, rr_slice_str("application/json")),
                                  .path = rr_slice_of(path.ptr + 4, path.len - 4), /* past "/v1/" */
                                  .query = serve_span_of(&request->bytes, request->head.query),
                                  .body = rr_buf_slice(&request->body)};
    request->err = RR_OK;
    if (header.ptr != NULL) {
        request->err = rr_payment_header_parse(&payment, header, &request->fault);
        asked.payment = &payment;
    }
    if (request->err == RR_OK) {
        request->err = options->work(options->work_ctx, &asked, &out, &request->fault);
    }
    if (request->err == RR_OK) {
        request->blob = serve_blob_new(&out);
    } else {
        rr_buf_clear(&out);
    }
}

static void reply(struct serve_request *request)
{
    const struct serve_blob *blob = request->blob;
    bool json = blob != NULL && blob->len > 0 && blob->bytes[0] == '{'; /* no wire form does */
    serve_reply_made(request, 200, json ? "application/json" : "application/octet-stream");
}

void serve_work_run(struct serve_request *request)
{
    serve_request_block(request, work, reply);
}
