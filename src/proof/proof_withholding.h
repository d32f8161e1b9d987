/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Does a viewer keep back certificates? (spec 10, 3). Enter by proof.h. */
#ifndef RR_PROOF_WITHHOLDING_H
#define RR_PROOF_WITHHOLDING_H
#include "base/base.h"

/* One puzzle in which the viewer was served. */
struct rr_proof_served {
    uint64_t hashes;      /* N: that the cacher demands for the time served: s per second */
    bool missing;         /* nothing came while it could: E = 0 */
    uint8_t final_be[32]; /* H*, the smallest final that came; unless missing */
};
/* Ours, in units of -ln(probability): what one puzzle may count against a viewer. Sending nothing
 * counts this much, and a poor certificate never more than none. The chance that an honest puzzle
 * reaches it is e^-7, so the bound of the test holds, and one certificate lost on its way convicts
 * nobody. */
#define RR_PROOF_WITHHOLDING_CAP 7.0
/* Ours: more puzzles find a viewer that does half of the work, at the price of a longer memory. */
#define RR_PROOF_WITHHOLDING_PUZZLES 64
/* The 1e-6 quantile of spec 10, 3. */
#define RR_PROOF_WITHHOLDING_LEVEL 1e-6

struct rr_proof_withholding {
    uint32_t puzzles, missing;
    double sum;    /* S */
    double chance; /* that an honest viewer looks this bad or worse: at most this */
    double share;  /* best guess of the work done, of that demanded: n / S, at most 1 */
    bool withheld; /* chance < RR_PROOF_WITHHOLDING_LEVEL */
};
/* [THETA-18] asks for the smallest final H* of N hashes, uniform on [0, 2^256), and judges by
 * E = (2^256 - 1) / H*. The mean of E does not exist (one lucky puzzle would hide a hundred empty
 * ones), so ours judges the same order by its law: P(H* > h) = (1 - h / 2^256)^N, thus
 * X = -N ln(1 - H* / 2^256), which is N / E for all but the poorest, is Exp(1) for exactly N hashes
 * and smaller for more. The sum S of n independent ones is Gamma(n, 1), and
 *     P(S > x) = e^-x (1 + x + x^2 / 2! + ... + x^(n-1) / (n-1)!).
 * Withheld: that chance at the observed S is below 1e-6, as if the sum of E were below its 1e-6
 * quantile. X is cut at RR_PROOF_WITHHOLDING_CAP, which a missing certificate counts in full: it
 * only lowers S, so that no more than one honest viewer in 10^6 fails. Entries with hashes 0 do not
 * count. Floating point: no consensus hangs on it. count >= 0; any thread; never fails. */
void rr_proof_withholding(struct rr_proof_withholding *out, const struct rr_proof_served *served,
                          size_t count);
#endif
