/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reelrig: talks to a rig, or uses the library directly. */
#include "cli/cli.h"
#include "crypto/crypto.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define USAGE_BYTES 2048 /* the longest of a verb's arguments */

const struct cli_verb cli_verbs[] = {
    {"status", "[--json] [--data FOLDER]", "the whole rig at a glance", cli_status},
    {"publish",
     "FILE [--ladder 720,480,360|auto|LADDER.toml] [--kbps LIST|auto] [--max-kbps LIST|auto] "
     "[--tone-map] [--price COINS] [--title TEXT] [--puzzle CONTRACT_ID "
     "--puzzle-prize COINS --puzzle-difficulty N [--puzzle-rise PERCENT] [--puzzles-per-segment N] "
     "[--puzzle-kind work|stake]] [--json] [--data FOLDER] | FILE --rigs URL,URL... [-o DIR] "
     "[--ladder L] [--codec C] [--preset P] [--crf N] [--gop-ms 2000] [--audio-kbps 128] "
     "[--wallet FOLDER] [--max-price COINS] [--deadline SECONDS] [--patience SECONDS] "
     "[--check-every N] [--explain] [--no-local] [--json]",
     "transcode, prove, store and serve a video", cli_publish},
    {"offers", "URL... [--wallet FOLDER] [--json]", "what rigs take for work", cli_offers},
    {"watch",
     "URL [--rendition 720p] [-o FILE] [--wallet FOLDER] [--pool-blocks 60] [--release] "
     "[--no-certificates] [--cpu-share PERCENT] [--gpu-share PERCENT] [--puzzles] "
     "[--puzzle-seconds 20] [--json]",
     "pull one rendition, pay each slice, return certificates", cli_watch},
    {"puzzle",
     "list FILE|URL|--claims [--wallet FOLDER|--data FOLDER] [--json] | solve FILE --url "
     "URL|--manifest FILE "
     "[--wallet FOLDER] [--seconds 60] [--share PERCENT] [--json] | check CLAIM... --segment FILE "
     "[--url URL|--manifest FILE] [--wallet FOLDER|--genesis NAME] [--json] | post CLAIM... "
     "--url URL [--json]",
     "engagement puzzles of segments and their claims", cli_puzzle},
    {"transcode",
     "IN -o DIR|FILE.mp4 [--format hls|dash|mp4] [--dry-run] [--explain] | --resume -o DIR; "
     "[--ladder "
     "720,480|auto|LADDER.toml] [--kbps LIST|auto] [--max-kbps LIST|auto] "
     "[--tone-map] [--codec h264|hevc|av1|vp9] [--gop-ms 2000] [--crf N] [--preset P] "
     "[--audio-kbps 128] [--workers N] [--nats URL,URL [--nats-auth FILE] [--nats-ca "
     "FILE]|--shards N] "
     "[--video N] [--audio all|none|1,2] [--subtitles all|none|1,2] "
     "[--audio-codec aac|opus] [--channels stereo|keep] "
     "[--device auto|cpu|ID,ID] [--class exact|tolerant] [--when-busy wait|cpu] "
     "[--json] | --devices [--json]",
     "an HLS ladder in a folder, without a rig", cli_transcode},
    {"compare", "A B [--json]", "PSNR and SSIM of video B against A; B may be a ladder's folder",
     cli_compare},
    {"fleet",
     "[--nats URL,URL] [--nats-auth FILE] [--nats-ca FILE] [--json] | worker --nats URL,URL "
     "--cache FOLDER [--cache-gib 64] [--name NAME] [--slots N] [--workers N] [--nats-auth FILE] "
     "[--nats-ca FILE]",
     "the rigs and jobs of a rack; worker makes this one of them", cli_fleet},
    {"live",
     "srt://ADDRESS:PORT?passphrase=P|rtmp://ADDRESS:PORT/APP/KEY|FILE --follow -o DIR "
     "[--serve ADDRESS:PORT] [--ladder 720,480] [--codec h264|hevc|av1|vp9] [--gop-ms 2000] "
     "[--part-ms 333] [--crf N] [--preset P] [--audio-kbps 128] [--window 12] [--keep] "
     "[--grace 30] [--quiet 5] [--catch-up] [--linger 10] [--json]",
     "a live input as a live ladder, low latency over HTTP", cli_live},
    {"job", "show [JOB] | cancel JOB [--json]", "publishing jobs", cli_job},
    {"chain", "show [HEIGHT] [--json] | verify [--json]",
     "the ledger; verify replays it into an empty one", cli_chain},
    {"pool", "show [POOL] [--json] | settle | release POOL --url URL --wallet FOLDER [--wait]",
     "micropayment pools", cli_pool},
    {"store", "show [--json] | objects RESOURCE [--json] | scrub [--json]", "the video store",
     cli_store},
    {"wallet", "show [--wallet FOLDER] [--url URL] [--json] | send ADDRESS COINS [--json]",
     "keys and coins", cli_wallet},
    {"gpu",
     "list | bench [ID] [--seconds 3] [--epoch N] | tune [ID] [--epoch N] | pause|resume|restart "
     "ID | share [--cpu PERCENT] [--gpu PERCENT]  "
     "[--json] [--data FOLDER]",
     "devices that hash: state, sensors, rates", cli_gpu},
    {"hash",
     "ethash --block N --header HEX --nonce HEX [--difficulty D] | size --epoch N | seed --epoch N "
     "| item --epoch N --index I  [--etchash] "
     "[--backend law|cpu|avx2|avx512|cuda|opencl|ID] [--json]",
     "Ethash by hand, without a rig", cli_hash},
    {"bench", "hash|transcode|erasure|pay [--json] [--peer LIB]", "figures beside their limits",
     cli_bench},
    {"road", "VIDEO [--once] [--data FOLDER] [--web FOLDER]",
     "the main job from end to end on a rig of its own", cli_road},
    {NULL, NULL, NULL, NULL},
};

static bool json_wanted;

/* What is wrong goes to standard error in full, and as an object where that was asked for. */
static int refuse(const char *said)
{
    if (json_wanted) {
        json_t *out = json_pack("{s:s, s:o}", "error", rr_err_text(RR_ERR_USAGE), "message",
                                cli_json_text(said));
        cli_print_json(out);
        json_decref(out);
    }
    return 2;
}

int cli_usage(const char *verb)
{
    char usage[32 + USAGE_BYTES] = "";
    const char *said = cli_complaint();
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
        if (strcmp(v->name, verb) == 0) {
            snprintf(usage, sizeof usage, "usage: reelrig %s %s", v->name, v->arguments);
            fprintf(stderr, "%s\n", usage);
        }
    }
    return refuse(said[0] != '\0' ? said : usage);
}

static void help(FILE *to)
{
    fprintf(to, "usage: reelrig VERB ...\n");
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
        fprintf(to, "  %-10s %s\n             %s\n", v->name, v->help, v->arguments);
    }
    fprintf(to, "exit status: 0 done, 1 failed, 2 wrong usage, 3 degraded, 4 nobody answers\n");
}

/* Before "--" and behind the verb, which may be another's value in a rare command: then write it as
 * --name=value. */
static bool given(int argc, char **argv, const char *option)
{
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], option) == 0) {
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    json_wanted = given(argc, argv, "--json");
    if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
        cli_print("reelrig %s\n", RR_VERSION);
        return 0;
    }
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                      strcmp(argv[1], "help") == 0)) {
        help(stdout);
        return 0;
    }
    for (const struct cli_verb *v = cli_verbs; argc >= 2 && v->name != NULL; v++) {
        if (strcmp(v->name, argv[1]) == 0) {
            if (given(argc, argv, "--help") || given(argc, argv, "-h")) {
                cli_print("usage: reelrig %s %s\n  %s\n", v->name, v->arguments, v->help);
                return 0;
            }
            rr_crypto_init();
            return v->run(argc - 1, argv + 1);
        }
    }
    if (argc >= 2) {
        fprintf(stderr, "reelrig: there is no verb '%s'\n", argv[1]);
    }
    help(stderr);
    return refuse(argc >= 2 ? "there is no such verb; see reelrig --help" : "a verb was expected");
}
