/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to stratum: TLS 1.2 and 1.3 between two buffers, no socket; the only user of OpenSSL. */
#ifndef RR_STRATUM_TLS_H
#define RR_STRATUM_TLS_H
#include "base/base.h"

struct stratum_tls_context;
struct stratum_tls;

/* PEM files: the chain with the server's own certificate first, and its key. RR_ERR_NOTFOUND,
 * RR_ERR_FORMAT (also: the key is of another certificate). *out owned (free). Blocks. */
enum rr_err stratum_tls_server(struct stratum_tls_context **out, const char *certificate_path,
                               const char *key_path, struct rr_fault *fault) RR_MUST_USE;
/* Trusts the machine's authorities or, when ca_path is not NULL, those of this PEM file. With a
 * fingerprint (SHA-256 of the certificate, 64 hex digits, colons allowed) exactly that certificate
 * and nothing else is looked at. RR_ERR_USAGE, RR_ERR_NOTFOUND, RR_ERR_FORMAT. */
enum rr_err stratum_tls_client(struct stratum_tls_context **out, const char *ca_path,
                               const char *fingerprint, struct rr_fault *fault) RR_MUST_USE;
void stratum_tls_context_free(struct stratum_tls_context *context); /* after its streams */

/* host: the name that the server's certificate must bear; NULL: we are the server. context borrowed
 * for the stream's life. */
struct stratum_tls *stratum_tls_new(struct stratum_tls_context *context, const char *host);
void stratum_tls_free(struct stratum_tls *tls);
/* Begins the handshake or goes on with it, decrypts: bytes from the wire (may be empty) in; what is
 * for the wire is appended to wire, what is for the reader to plain. RR_ERR_TRUST: the other side's
 * certificate does not hold; RR_ERR_FORMAT: other failures; RR_ERR_UNREACHABLE: it ended the
 * stream. */
enum rr_err stratum_tls_receive(struct stratum_tls *tls, struct rr_slice bytes,
                                struct rr_buf *plain, struct rr_buf *wire,
                                struct rr_fault *fault) RR_MUST_USE;
bool stratum_tls_ready(const struct stratum_tls *tls); /* the handshake is done */
/* Encrypts, after it is ready. */
enum rr_err stratum_tls_send(struct stratum_tls *tls, struct rr_slice bytes, struct rr_buf *wire,
                             struct rr_fault *fault) RR_MUST_USE;
#endif
