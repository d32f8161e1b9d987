/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stratum/stratum_tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct stratum_tls_context {
    SSL_CTX *ssl;
    bool pinned;
    uint8_t fingerprint[32];
};

struct stratum_tls {
    struct stratum_tls_context *context;
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
};

/* The oldest entry of OpenSSL's queue, which is emptied. */
static enum rr_err fail_ssl(struct rr_fault *fault, enum rr_err code, const char *what)
{
    char text[160] = "no reason given";
    unsigned long error = ERR_get_error();
    if (error != 0) {
        ERR_error_string_n(error, text, sizeof text);
    }
    ERR_clear_error();
    return rr_fail(fault, code, "%s: %s", what, text);
}

static struct stratum_tls_context *new_context(const SSL_METHOD *method)
{
    struct stratum_tls_context *context = rr_alloc(sizeof *context);
    context->ssl = SSL_CTX_new(method);
    RR_CHECK(context->ssl != NULL);
    RR_CHECK(SSL_CTX_set_min_proto_version(context->ssl, TLS1_2_VERSION) == 1);
    SSL_CTX_set_mode(context->ssl, SSL_MODE_RELEASE_BUFFERS);
    return context;
}

void stratum_tls_context_free(struct stratum_tls_context *context)
{
    if (context != NULL) {
        SSL_CTX_free(context->ssl);
        rr_free(context);
    }
}

static enum rr_err check_file(const char *path, const char *what, struct rr_fault *fault)
{
    return access(path, R_OK) == 0 ? RR_OK
                                   : rr_fail_errno(fault, "%s %s cannot be read", what, path);
}

enum rr_err stratum_tls_server(struct stratum_tls_context **out, const char *certificate_path,
                               const char *key_path, struct rr_fault *fault)
{
    char what[256];
    enum rr_err err = check_file(certificate_path, "the certificate", fault);
    if (err != RR_OK || (err = check_file(key_path, "the key", fault)) != RR_OK) {
        return err;
    }
    struct stratum_tls_context *context = new_context(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(context->ssl, certificate_path) != 1) {
        snprintf(what, sizeof what, "%.200s holds no PEM certificate", certificate_path);
        err = fail_ssl(fault, RR_ERR_FORMAT, what);
    } else if (SSL_CTX_use_PrivateKey_file(context->ssl, key_path, SSL_FILETYPE_PEM) != 1 ||
               SSL_CTX_check_private_key(context->ssl) != 1) {
        snprintf(what, sizeof what, "%.200s holds no PEM key of that certificate", key_path);
        err = fail_ssl(fault, RR_ERR_FORMAT, what);
    }
    if (err != RR_OK) {
        stratum_tls_context_free(context);
        return err;
    }
    *out = context;
    return RR_OK;
}

static bool read_fingerprint(uint8_t out[static 32], const char *text)
{
    char digits[65];
    size_t count = 0;
    for (; *text != '\0'; text++) {
        if (*text == ':') {
            continue;
        }
        if (count == 64) {
            return false;
        }
        digits[count++] = *text;
    }
    digits[count] = '\0';
    return rr_unhex(out, 32, digits);
}

enum rr_err stratum_tls_client(struct stratum_tls_context **out, const char *ca_path,
                               const char *fingerprint, struct rr_fault *fault)
{
    char what[256];
    enum rr_err err = ca_path != NULL ? check_file(ca_path, "the certificates", fault) : RR_OK;
    if (err != RR_OK) {
        return err;
    }
    struct stratum_tls_context *context = new_context(TLS_client_method());
    if (fingerprint != NULL) {
        context->pinned = true;
        if (!read_fingerprint(context->fingerprint, fingerprint)) {
            err =
                rr_fail(fault, RR_ERR_USAGE,
                        "'%.100s' is no fingerprint; the SHA-256 of the certificate was expected, "
                        "64 hex digits",
                        fingerprint);
        }
        SSL_CTX_set_verify(context->ssl, SSL_VERIFY_NONE, NULL); /* compared after the handshake */
    } else {
        int loaded = ca_path != NULL ? SSL_CTX_load_verify_locations(context->ssl, ca_path, NULL)
                                     : SSL_CTX_set_default_verify_paths(context->ssl);
        if (loaded != 1) {
            snprintf(what, sizeof what, "%.200s holds no PEM certificates",
                     ca_path != NULL ? ca_path : "the machine's store");
            err = fail_ssl(fault, RR_ERR_FORMAT, what);
        }
        SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER, NULL);
    }
    if (err != RR_OK) {
        stratum_tls_context_free(context);
        return err;
    }
    *out = context;
    return RR_OK;
}

/* ---- streams ----------------------------------------------------------------------------- */

struct stratum_tls *stratum_tls_new(struct stratum_tls_context *context, const char *host)
{
    struct stratum_tls *tls = rr_alloc(sizeof *tls);
    tls->context = context;
    tls->ssl = SSL_new(context->ssl);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    RR_CHECK(tls->ssl != NULL && tls->in != NULL && tls->out != NULL);
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    if (host == NULL) {
        SSL_set_accept_state(tls->ssl);
        return tls;
    }
    SSL_set_connect_state(tls->ssl);
    X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, host) != 1) { /* no address: a name */
        char name[256];                                    /* its macro takes no const */
        snprintf(name, sizeof name, "%s", host);
        SSL_set_tlsext_host_name(tls->ssl, name);
        SSL_set1_host(tls->ssl, host);
    }
    ERR_clear_error();
    return tls;
}

void stratum_tls_free(struct stratum_tls *tls)
{
    if (tls != NULL) {
        SSL_free(tls->ssl);
        rr_free(tls);
    }
}

bool stratum_tls_ready(const struct stratum_tls *tls)
{
    return SSL_is_init_finished(tls->ssl);
}

static void flush(struct stratum_tls *tls, struct rr_buf *wire)
{
    char *bytes;
    long len = BIO_get_mem_data(tls->out, &bytes);
    if (len > 0) {
        rr_buf_append(wire, bytes, (size_t)len);
        RR_CHECK(BIO_reset(tls->out) == 1);
    }
}

static enum rr_err check_pin(const struct stratum_tls *tls, struct rr_fault *fault)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    X509 *certificate = SSL_get1_peer_certificate(tls->ssl);
    bool same = certificate != NULL && X509_digest(certificate, EVP_sha256(), digest, &len) == 1 &&
                len == 32 && memcmp(digest, tls->context->fingerprint, 32) == 0;
    char found[65] = "none";
    if (len == 32) {
        rr_hex(found, digest, 32);
    }
    X509_free(certificate);
    return same
               ? RR_OK
               : rr_fail(fault, RR_ERR_TRUST,
                         "the mining pool's certificate has the fingerprint %s, not the one of the "
                         "settings",
                         found);
}

static enum rr_err fail_stream(struct stratum_tls *tls, int result, struct rr_fault *fault)
{
    long verify = SSL_get_verify_result(tls->ssl);
    int why = SSL_get_error(tls->ssl, result);
    if (why == SSL_ERROR_ZERO_RETURN) {
        return rr_fail(fault, RR_ERR_UNREACHABLE, "the other side ended the TLS stream");
    }
    if (!tls->context->pinned && verify != X509_V_OK) {
        ERR_clear_error();
        return rr_fail(fault, RR_ERR_TRUST, "the certificate does not hold: %s",
                       X509_verify_cert_error_string(verify));
    }
    return fail_ssl(fault, RR_ERR_FORMAT, "TLS failed");
}

enum rr_err stratum_tls_receive(struct stratum_tls *tls, struct rr_slice bytes,
                                struct rr_buf *plain, struct rr_buf *wire, struct rr_fault *fault)
{
    char piece[4096];
    enum rr_err err = RR_OK;
    ERR_clear_error();
    if (bytes.len > 0) {
        RR_CHECK(BIO_write(tls->in, bytes.ptr, (int)bytes.len) == (int)bytes.len);
    }
    if (!stratum_tls_ready(tls)) {
        int result = SSL_do_handshake(tls->ssl);
        if (result != 1 && SSL_get_error(tls->ssl, result) != SSL_ERROR_WANT_READ) {
            err = fail_stream(tls, result, fault);
        } else if (result == 1 && tls->context->pinned) {
            err = check_pin(tls, fault);
        }
    }
    while (err == RR_OK && stratum_tls_ready(tls)) {
        int len = SSL_read(tls->ssl, piece, sizeof piece);
        if (len > 0) {
            rr_buf_append(plain, piece, (size_t)len);
            continue;
        }
        if (SSL_get_error(tls->ssl, len) != SSL_ERROR_WANT_READ) {
            err = fail_stream(tls, len, fault);
        }
        break;
    }
    flush(tls, wire); /* also the alert of a failure */
    return err;
}

enum rr_err stratum_tls_send(struct stratum_tls *tls, struct rr_slice bytes, struct rr_buf *wire,
                             struct rr_fault *fault)
{
    ERR_clear_error();
    if (bytes.len > 0) {
        int len = SSL_write(tls->ssl, bytes.ptr, (int)bytes.len);
        if (len != (int)bytes.len) {
            return fail_stream(tls, len, fault);
        }
    }
    flush(tls, wire);
    return RR_OK;
}
