/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cli.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define RESPONSE_BYTES_MAX (256u << 20)

struct cli_http {
    CURL *curl;
};

struct cli_http *cli_http_new(void)
{
    struct cli_http *http = rr_alloc(sizeof *http);
    RR_CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    http->curl = curl_easy_init();
    RR_CHECK(http->curl != NULL);
    return http;
}

void cli_http_free(struct cli_http *http)
{
    if (http != NULL) {
        curl_easy_cleanup(http->curl);
        rr_free(http);
    }
}

static size_t take_body(char *bytes, size_t size, size_t count, void *ctx)
{
    struct cli_response *response = ctx;
    size_t len = size * count;
    if (response->body.len + len > RESPONSE_BYTES_MAX) {
        return 0;
    }
    rr_buf_append(&response->body, bytes, len);
    return len;
}

static size_t take_header(char *bytes, size_t size, size_t count, void *ctx)
{
    static const char name[] = "reelrig-puzzle:";
    struct cli_response *response = ctx;
    size_t len = size * count, at = sizeof name - 1;
    if (len > at && strncasecmp(bytes, name, at) == 0) {
        while (at < len && bytes[at] == ' ') {
            at++;
        }
        size_t end = len;
        while (end > at && (bytes[end - 1] == '\r' || bytes[end - 1] == '\n')) {
            end--;
        }
        if (end - at < sizeof response->puzzle) {
            memcpy(response->puzzle, bytes + at, end - at);
            response->puzzle[end - at] = '\0';
        }
    }
    return len;
}

static int show_upload(void *ctx, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    (void)ctx, (void)down_total, (void)down;
    if (up_total > 0) {
        cli_progress("uploading %3.0f %%", 100.0 * (double)up / (double)up_total);
    }
    return 0;
}

static enum rr_err set_body(CURL *curl, const struct cli_request *request, FILE **file,
                            struct rr_fault *fault)
{
    curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    if (request->upload_path != NULL) {
        struct stat st;
        *file = fopen(request->upload_path, "rb");
        if (*file == NULL || stat(request->upload_path, &st) != 0) {
            return rr_fail_errno(fault, "cannot read %s", request->upload_path);
        }
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, NULL);
        curl_easy_setopt(curl, CURLOPT_READDATA, *file);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)st.st_size);
    } else if (request->body.ptr != NULL) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body.ptr);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
    }
    return RR_OK;
}

enum rr_err cli_http_send(struct cli_http *http, struct cli_response *out,
                          const struct cli_request *request, struct rr_fault *fault)
{
    CURL *curl = http->curl;
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    FILE *file = NULL;
    char reason[CURL_ERROR_SIZE] = "";
    cli_response_clear(out);
    curl_easy_reset(curl); /* keeps the connection */
    for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++) {
        headers = curl_slist_append(headers, request->headers[i]);
    }
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "127.0.0.1,localhost,::1");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, out);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, request->timeout_s > 0 ? request->timeout_s : 60L);
    if (request->progress) {
        curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, show_upload);
    }
    enum rr_err err = set_body(curl, request, &file, fault);
    if (err == RR_OK) {
        if (request->method != NULL) {
            curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
        }
        CURLcode code = curl_easy_perform(curl);
        if (code != CURLE_OK) {
            err = rr_fail(fault, RR_ERR_UNREACHABLE, "no answer from %s: %s", request->url,
                          reason[0] != '\0' ? reason : curl_easy_strerror(code));
        } else {
            curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &out->status);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    curl_slist_free_all(headers);
    return err;
}

void cli_response_clear(struct cli_response *response)
{
    rr_buf_clear(&response->body);
    *response = (struct cli_response){0};
}

enum rr_err cli_response_json(const struct cli_response *response, json_t **out,
                              struct rr_fault *fault)
{
    json_error_t error;
    json_t *json = json_loadb((const char *)response->body.ptr, response->body.len, 0, &error);
    if (json == NULL) {
        return rr_fail(fault, RR_ERR_FORMAT, "the answer is not JSON: %s", error.text);
    }
    *out = json;
    return RR_OK;
}

static enum rr_err code_of_status(long status)
{
    switch (status) {
    case 402:
        return RR_ERR_FUNDS;
    case 404:
        return RR_ERR_NOTFOUND;
    case 409:
        return RR_ERR_STATE;
    case 413:
        return RR_ERR_LIMIT;
    case 507:
        return RR_ERR_FULL;
    default:
        return status >= 500 ? RR_ERR_IO : RR_ERR_FORMAT;
    }
}

enum rr_err cli_response_check(const struct cli_response *response, const char *what,
                               struct rr_fault *fault)
{
    if (response->status >= 200 && response->status < 300) {
        return RR_OK;
    }
    json_t *json = NULL;
    struct rr_fault ignored;
    const char *message = "";
    enum rr_err code = code_of_status(response->status);
    if (cli_response_json(response, &json, &ignored) == RR_OK) {
        uint64_t stated = cli_number(json, "code"); /* the control port states the code itself */
        message = cli_text(json, "message");
        if (stated > RR_OK && stated <= RR_ERR_UNREACHABLE) {
            code = (enum rr_err)stated;
        }
    }
    enum rr_err err = message[0] != '\0'
                          ? rr_fail(fault, code, "%s", message)
                          : rr_fail(fault, code, "%s: refused without a reason (HTTP %ld)", what,
                                    response->status);
    json_decref(json);
    return err;
}
