/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker on a lesser processor: preloaded into a real one it limits FFmpeg's own code and each
 * encoder's to the level that RR_SIMD names: none, sse2, avx2 (libvpx reads VPX_SIMD_CAPS itself);
 * tests/unit/transcode/test_determinism.c. Functions of FFmpeg as their pages have them. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEARCH_CHILDREN 1 /* AV_OPT_SEARCH_CHILDREN */

int av_opt_get(void *object, const char *name, int flags, uint8_t **value);
int av_opt_set(void *object, const char *name, const char *value, int flags);
void av_force_cpu_flags(int flags);
int av_parse_cpu_caps(unsigned *flags, const char *text);
__attribute__((visibility("default"))) int avcodec_open2(void *context, const void *kind,
                                                         void *options);

static const char *level(void)
{
    const char *named = getenv("RR_SIMD");
    return named != NULL ? named : "all";
}

__attribute__((constructor)) static void limit(void)
{
    unsigned flags = 0;
    if (strcmp(level(), "all") != 0) {
        if (strcmp(level(), "none") != 0) {
            av_parse_cpu_caps(&flags, level());
        }
        av_force_cpu_flags((int)flags);
    }
}

static void limit_encoder(void *context, const char *option, const char *none)
{
    uint8_t *given = NULL;
    char text[2048];
    if (av_opt_get(context, option, SEARCH_CHILDREN, &given) >= 0 && given != NULL) {
        snprintf(text, sizeof text, "%s%sasm=%s", (const char *)given, given[0] != 0 ? ":" : "",
                 strcmp(level(), "none") == 0 ? none : level());
        if (av_opt_set(context, option, text, SEARCH_CHILDREN) < 0) {
            abort();
        }
    } /* its few bytes stay: this is a test's worker */
}

int avcodec_open2(void *context, const void *kind, void *options)
{
    int (*real)(void *, const void *, void *);
    *(void **)&real = dlsym(RTLD_NEXT, "avcodec_open2");
    if (strcmp(level(), "all") != 0) {
        limit_encoder(context, "x264-params", "0");
        limit_encoder(context, "x265-params", "0");
        limit_encoder(context, "svtav1-params", "c");
    }
    return real(context, kind, options);
}
