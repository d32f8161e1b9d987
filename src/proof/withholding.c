/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proof/proof.h"
#include <math.h>

/* H* / 2^256, from the last byte on so that small ones keep their digits. */
static double fraction(const uint8_t final_be[static 32])
{
    double value = 0;
    for (int i = 31; i >= 0; i--) {
        value = (value + final_be[i]) / 256;
    }
    return value;
}

static double surprise(const struct rr_proof_served *served)
{
    if (served->missing) {
        return RR_PROOF_WITHHOLDING_CAP;
    }
    /* -infinity when all bits are set: cut as any other. */
    double x = -(double)served->hashes * log1p(-fraction(served->final_be));
    return x < RR_PROOF_WITHHOLDING_CAP ? x : RR_PROOF_WITHHOLDING_CAP;
}

/* P(Gamma(n, 1) > x) by its n terms, each made from the logarithm: x may be beyond what e^-x
 * holds. */
static double tail(uint32_t n, double x)
{
    if (x <= 0) {
        return 1;
    }
    double log_term = -x;
    double sum = exp(log_term);
    for (uint32_t k = 1; k < n; k++) {
        log_term += log(x / k);
        sum += exp(log_term);
    }
    return sum < 1 ? sum : 1;
}

void rr_proof_withholding(struct rr_proof_withholding *out, const struct rr_proof_served *served,
                          size_t count)
{
    struct rr_proof_withholding verdict = {.chance = 1, .share = 1};
    for (size_t i = 0; i < count; i++) {
        if (served[i].hashes > 0) {
            verdict.puzzles++;
            verdict.missing += served[i].missing ? 1 : 0;
            verdict.sum += surprise(&served[i]);
        }
    }
    if (verdict.puzzles > 0) {
        verdict.chance = tail(verdict.puzzles, verdict.sum);
        verdict.withheld = verdict.chance < RR_PROOF_WITHHOLDING_LEVEL;
        verdict.share = verdict.sum > verdict.puzzles ? verdict.puzzles / verdict.sum : 1;
    }
    *out = verdict;
}
