/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The door of wire, floor 1: every message and record format; bytes in, bytes out, no I/O. Layouts:
 * docs/formats.md. Common to all below:
 *  - little-endian, a version byte first, one encoding per value; trailing bytes are RR_ERR_FORMAT;
 *  - X_encode appends to `out`; X_decode borrows `bytes` and fills *out on success only;
 *  - structs with pointers own what decode allocated: X_clear frees it (safe on {0});
 *  - any thread, nothing blocks. */
#ifndef RR_WIRE_H
#define RR_WIRE_H
#include "wire/wire_chain.h"
#include "wire/wire_hls.h"
#include "wire/wire_llhls.h"
#include "wire/wire_media.h"
#include "wire/wire_pay.h"
#include "wire/wire_pot.h"
#include "wire/wire_puzzle.h"
#include "wire/wire_vote.h"
#include "wire/wire_work.h"
#endif
