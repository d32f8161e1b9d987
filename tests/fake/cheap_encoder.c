/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker that cheats: preloaded into a real one it makes every encode at a quality that costs
 * less; tests/system/test_offers.py. Two functions of FFmpeg as their pages have them. */
#include <dlfcn.h>

#define SEARCH_CHILDREN 1 /* AV_OPT_SEARCH_CHILDREN */

int av_opt_set(void *object, const char *name, const char *value, int flags);
__attribute__((visibility("default"))) int avcodec_open2(void *context, const void *kind,
                                                         void *options);
int avcodec_open2(void *context, const void *kind, void *options)
{
    int (*real)(void *, const void *, void *);
    *(void **)&real = dlsym(RTLD_NEXT, "avcodec_open2");
    av_opt_set(context, "crf", "45", SEARCH_CHILDREN); /* decoders have none */
    return real(context, kind, options);
}
