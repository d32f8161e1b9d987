/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTROL_BYTES_MAX 4096

static enum rr_err read_control(json_t **out, const char *folder, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    struct rr_buf text = {0};
    enum rr_err err = rr_path(path, fault, "%s/control.json", folder);
    if (err == RR_OK && (err = rr_file_read(&text, path, CONTROL_BYTES_MAX, fault)) == RR_OK) {
        *out = json_loadb((const char *)text.ptr, text.len, 0, NULL);
        if (*out == NULL) {
            err = rr_fail(fault, RR_ERR_FORMAT, "%s is damaged; start reelrigd again", path);
        }
    }
    rr_buf_clear(&text);
    return err;
}

enum rr_err cli_rig_open(struct cli_rig *out, const char *data, struct rr_fault *fault)
{
    const char *folders[] = {data, getenv("REELRIG_DATA"), "run", "/var/lib/reelrig"};
    const char *folder = NULL;
    json_t *json = NULL;
    enum rr_err err = RR_ERR_NOTFOUND;
    for (size_t i = 0; i < RR_COUNT(folders) && err == RR_ERR_NOTFOUND; i++) {
        if (folders[i] != NULL) {
            folder = folders[i];
            err = read_control(&json, folder, fault);
            if (data != NULL) {
                break;
            }
        }
    }
    if (err != RR_OK) {
        return err == RR_ERR_NOTFOUND ? rr_fail(fault, RR_ERR_UNREACHABLE,
                                                "no rig runs on %s (no control.json there); start "
                                                "reelrigd, or name its folder with --data",
                                                folder != NULL ? folder : ".")
                                      : err;
    }
    *out = (struct cli_rig){.http = cli_http_new(), .pid = (long)cli_number(json, "pid")};
    snprintf(out->control, sizeof out->control, "%s", cli_text(json, "control"));
    snprintf(out->serve, sizeof out->serve, "%s", cli_text(json, "serve"));
    snprintf(out->token, sizeof out->token, "%s", cli_text(json, "token"));
    json_decref(json);
    return RR_OK;
}

void cli_rig_close(struct cli_rig *rig)
{
    cli_http_free(rig->http);
    *rig = (struct cli_rig){0};
}

static enum rr_err call(struct cli_rig *rig, json_t **out, const char *path,
                        struct cli_request *request, struct rr_fault *fault)
{
    char url[16384], authorization[128];
    const char *headers[] = {authorization, "Content-Type: application/octet-stream", NULL};
    struct cli_response response = {0};
    int n = snprintf(url, sizeof url, "%s/api/v1/%s", rig->control, path);
    if (n < 0 || (size_t)n >= sizeof url) {
        return rr_fail(fault, RR_ERR_LIMIT, "the arguments are too long");
    }
    snprintf(authorization, sizeof authorization, "Authorization: Bearer %s", rig->token);
    request->url = url;
    request->headers = headers;
    enum rr_err err = cli_http_send(rig->http, &response, request, fault);
    if (err == RR_OK && (err = cli_response_check(&response, path, fault)) == RR_OK) {
        err = cli_response_json(&response, out, fault);
    }
    cli_response_clear(&response);
    return err;
}

enum rr_err cli_rig_call(struct cli_rig *rig, json_t **out, const char *path, const char *post_body,
                         struct rr_fault *fault)
{
    struct cli_request request = {.timeout_s = 600};
    if (post_body != NULL) {
        request.body = rr_slice_str(post_body);
    }
    return call(rig, out, path, &request, fault);
}

enum rr_err cli_rig_upload(struct cli_rig *rig, json_t **out, const char *path, const char *file,
                           struct rr_fault *fault)
{
    struct cli_request request = {.upload_path = file, .progress = true, .timeout_s = 24L * 3600};
    enum rr_err err = call(rig, out, path, &request, fault);
    cli_progress("%s", "");
    return err;
}
