/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is called a withholder: hardly ever an honest viewer, soon enough a lazy one. All finals are
 * drawn by a seeded generator; RR_SHORT=1 runs a tenth. */
#include "proof/proof.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* after its own needs */
#include <cmocka.h>

#define SEED 20261121

static unsigned thin(void)
{
    return getenv("RR_SHORT") != NULL ? 10 : 1;
}

/* Uniform on (0, 1). */
static double uniform(struct rr_prng *prng)
{
    return ((double)(rr_prng_u64(prng) >> 11) + 0.5) / 9007199254740992.0;
}

static void put_fraction(uint8_t final_be[static 32], double fraction)
{
    memset(final_be, 0, 32);
    for (int i = 0; i < 32; i++) {
        fraction *= 256;
        uint8_t digit = (uint8_t)fraction;
        final_be[i] = digit;
        fraction -= digit;
    }
}

/* The smallest of `did` finals by its exact law, when `demanded` were asked for. */
static struct rr_proof_served draw(struct rr_prng *prng, uint64_t demanded, double did)
{
    struct rr_proof_served served = {.hashes = demanded, .missing = did < 1};
    if (!served.missing) {
        put_fraction(served.final_be, -expm1(log(uniform(prng)) / did));
    }
    return served;
}

static bool is_caught(struct rr_prng *prng, uint32_t puzzles, double share, double missing)
{
    struct rr_proof_served served[RR_PROOF_WITHHOLDING_PUZZLES];
    struct rr_proof_withholding verdict;
    for (uint32_t i = 0; i < puzzles; i++) {
        double did = uniform(prng) < missing ? 0 : 800 * share;
        served[i] = draw(prng, 800, did);
    }
    rr_proof_withholding(&verdict, served, puzzles);
    return verdict.withheld;
}

/* The law itself, not the shortcut: each of N finals is drawn, and the smallest kept. */
static void the_smallest_of_n_finals_counts_one_on_average(void **state)
{
    (void)state;
    struct rr_prng prng;
    double sum = 0;
    unsigned runs = 100000 / thin();
    rr_prng_seed(&prng, SEED);
    for (unsigned i = 0; i < runs; i++) {
        struct rr_proof_served served = {.hashes = 25};
        struct rr_proof_withholding one;
        double least = 1;
        for (int n = 0; n < 25; n++) {
            double drawn = uniform(&prng);
            least = drawn < least ? drawn : least;
        }
        put_fraction(served.final_be, least);
        rr_proof_withholding(&one, &served, 1);
        sum += one.sum;
    }
    /* min(X, 7), X Exp(1): mean 1 - e^-7, deviation 1. */
    double error = (sum / runs - (1 - exp(-7))) * sqrt(runs);
    print_message("mean %.5f of %u puzzles, %.2f deviations off (seed %d)\n", sum / runs, runs,
                  error, SEED);
    assert_true(fabs(error) < 4.5);
}

static void the_tail_is_that_of_the_gamma_law(void **state)
{
    (void)state;
    /* By hand: n = 1: e^-x; n = 2: e^-x (1 + x); n = 3 with three missing: x = 21. */
    struct rr_proof_served served[3] = {{.hashes = 100}, {.hashes = 100}, {.hashes = 100}};
    struct rr_proof_withholding verdict;
    put_fraction(served[0].final_be, 0.01);
    put_fraction(served[1].final_be, 0.01);
    double x = -100 * log1p(-0.01);
    rr_proof_withholding(&verdict, served, 1);
    assert_true(fabs(verdict.sum - x) < 1e-12 && fabs(verdict.chance - exp(-x)) < 1e-12);
    rr_proof_withholding(&verdict, served, 2);
    assert_true(fabs(verdict.chance - exp(-2 * x) * (1 + 2 * x)) < 1e-12);
    for (int i = 0; i < 3; i++) {
        served[i].missing = true;
    }
    rr_proof_withholding(&verdict, served, 3);
    assert_true(fabs(verdict.chance / (exp(-21) * (1 + 21 + 21 * 21 / 2.0)) - 1) < 1e-12);
    assert_true(verdict.withheld);
    assert_int_equal(verdict.missing, 3);
    rr_proof_withholding(&verdict, served, 2);
    assert_false(verdict.withheld); /* two lost on their way convict nobody */
    /* Edges: nothing demanded, nothing served, no work at all, all of it. */
    served[0] = (struct rr_proof_served){.hashes = 0, .missing = true};
    rr_proof_withholding(&verdict, served, 1);
    assert_true(verdict.puzzles == 0 && !verdict.withheld && verdict.chance == 1);
    rr_proof_withholding(&verdict, NULL, 0);
    assert_true(!verdict.withheld && verdict.share == 1);
    served[0].hashes = UINT64_MAX;
    served[0].missing = false;
    memset(served[0].final_be, 0xff, 32);
    rr_proof_withholding(&verdict, served, 1);
    assert_true(verdict.sum == RR_PROOF_WITHHOLDING_CAP);
    memset(served[0].final_be, 0, 32);
    rr_proof_withholding(&verdict, served, 1);
    assert_true(verdict.sum == 0 && verdict.chance == 1 && verdict.share == 1);
}

/* A million viewers, honest to the hash: at a level of 10^-6 one in a million is expected, and more
 * than 7 come by chance once in 10^5 such tests. The level itself is too fine to be measured by so
 * many, so the whole law is looked at as well: of the chances given, 1 in 10^k must be below 10^-k.
 */
static void an_honest_viewer_is_hardly_ever_accused(void **state)
{
    (void)state;
    struct rr_prng prng;
    unsigned viewers = 1000000 / thin();
    unsigned accused = 0;
    unsigned below[5] = {0};
    rr_prng_seed(&prng, SEED);
    for (unsigned i = 0; i < viewers; i++) {
        struct rr_proof_served served[8];
        struct rr_proof_withholding verdict;
        for (int p = 0; p < 8; p++) {
            served[p] = draw(&prng, 800, 800);
        }
        rr_proof_withholding(&verdict, served, 8);
        accused += verdict.withheld ? 1 : 0;
        double level = 0.1;
        for (int k = 0; k < 5; k++, level /= 10) {
            below[k] += verdict.chance < level ? 1 : 0;
        }
    }
    print_message(
        "%u honest viewers, 8 puzzles each (seed %d): %u accused; chance below 10^-1: %u, "
        "-2: %u, -3: %u, -4: %u, -5: %u\n",
        viewers, SEED, accused, below[0], below[1], below[2], below[3], below[4]);
    assert_true(accused <= 7);
    double expected = viewers;
    for (int k = 0; k < 5; k++) {
        expected /= 10;
        /* Not above the law; the cut at 7 only lowers it, by little where it is common. */
        assert_true(below[k] <= expected + 5 * sqrt(expected) + 5);
    }
    assert_true(below[0] > viewers / 10.0 * 0.97);
}

/* Within how many puzzles, for those that do a part of the work or send only a part of what they
 * found. */
static void lazy_viewers_are_caught_within_few_puzzles(void **state)
{
    (void)state;
    static const struct {
        double share, missing;
        uint32_t within; /* puzzles, after which nearly all are caught; 0: not asked */
        const char *text;
    } viewers[] = {
        {0.0, 1.0, 3, "sends nothing"},
        {0.01, 0.0, 6, "1 % of the work"},
        {0.1, 0.0, 16, "10 % of the work"},
        {0.25, 0.0, 48, "25 % of the work"},
        {0.5, 0.0, 0, "50 % of the work"},
        {1.0, 0.9, 12, "9 of 10 certificates kept back"},
        {1.0, 0.5, 48, "half of the certificates kept back"},
        {1.0, 0.05, 0, "1 of 20 lost on the way"},
        {1.0, 0.0, 0, "honest"},
    };
    static const uint32_t counts[] = {2, 3, 4, 6, 8, 12, 16, 32, 48, 64};
    struct rr_prng prng;
    unsigned runs = 4000 / thin();
    rr_prng_seed(&prng, SEED);
    print_message("%% caught after n puzzles     n =");
    for (size_t c = 0; c < RR_COUNT(counts); c++) {
        print_message("%7u", counts[c]);
    }
    print_message("\n");
    for (size_t v = 0; v < RR_COUNT(viewers); v++) {
        print_message("%-35s", viewers[v].text);
        for (size_t c = 0; c < RR_COUNT(counts); c++) {
            unsigned caught = 0;
            for (unsigned i = 0; i < runs; i++) {
                caught += is_caught(&prng, counts[c], viewers[v].share, viewers[v].missing) ? 1 : 0;
            }
            print_message("%7.1f", 100.0 * caught / runs);
            if (viewers[v].within != 0 && counts[c] >= viewers[v].within) {
                assert_true(caught > 0.99 * runs);
            }
            if (viewers[v].share >= 1 && viewers[v].missing <= 0) {
                assert_int_equal(caught, 0);
            } else if (viewers[v].share >= 1 && viewers[v].missing <= 0.05) {
                assert_true(caught <= 0.05 * runs); /* a bad line is no crime, mostly */
            }
        }
        print_message("\n");
    }
}

/* More than demanded never looks worse: the same luck with twice the hashes gives half the sum. */
static void a_poor_certificate_never_counts_more_than_none(void **state)
{
    (void)state;
    struct rr_prng prng;
    rr_prng_seed(&prng, SEED);
    for (int i = 0; i < 20000; i++) {
        struct rr_proof_served served = draw(&prng, 1 + rr_prng_below(&prng, 5000), 3);
        struct rr_proof_served none = {.hashes = served.hashes, .missing = true};
        struct rr_proof_withholding with, without;
        rr_proof_withholding(&with, &served, 1);
        rr_proof_withholding(&without, &none, 1);
        assert_true(with.sum <= without.sum && with.sum >= 0);
        assert_true(without.sum == RR_PROOF_WITHHOLDING_CAP);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_smallest_of_n_finals_counts_one_on_average),
        cmocka_unit_test(the_tail_is_that_of_the_gamma_law),
        cmocka_unit_test(an_honest_viewer_is_hardly_ever_accused),
        cmocka_unit_test(lazy_viewers_are_caught_within_few_puzzles),
        cmocka_unit_test(a_poor_certificate_never_counts_more_than_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
