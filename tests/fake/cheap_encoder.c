/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker that cheats: preloaded into a real one it makes every encode at a quality that costs
 * less. See tests/system/test_offers.py. */
#include <dlfcn.h>
#include <libavcodec/avcodec.h>
#include <libavutil/opt.h>

__attribute__((visibility("default"))) int avcodec_open2(AVCodecContext *codec, const AVCodec *kind,
                                                         AVDictionary **options);
int avcodec_open2(AVCodecContext *codec, const AVCodec *kind, AVDictionary **options)
{
    int (*real)(AVCodecContext *, const AVCodec *, AVDictionary **);
    *(void **)&real = dlsym(RTLD_NEXT, "avcodec_open2");
    if (codec->priv_data != NULL) {
        av_opt_set(codec->priv_data, "crf", "45", 0);
    }
    return real(codec, kind, options);
}
