/* SPDX-License-Identifier: GPL-2.0-or-later */
/* As make.h: media, certificates, sessions, and the table of all formats. */
#ifndef UNIT_WIRE_MAKE_MORE_H
#define UNIT_WIRE_MAKE_MORE_H
#include "fuzz/wire/recode.h"
#include "make.h"

static inline struct rr_object make_object(struct source *s)
{
    struct rr_object o = {.strip = RR_STRIP_BYTES};
    o.length = make_number(s, 1 << 20, INT64_MAX);
    o.k = (uint8_t)(1 + make_count(s, 2, s->fixed ? 3 : 190));
    o.m = (uint8_t)make_count(s, 2, RR_PARITY_MAX);
    o.class = make_number(s, 0, 1) == 1 ? RR_CLASS_LOCAL : RR_CLASS_RELAY;
    make_field(s, o.key_id);
    for (unsigned i = 0; i < (unsigned)o.k + o.m; i++) {
        make_field(s, o.roots[i]);
    }
    rr_object_set_id(&o);
    return o;
}

static inline struct rr_segment make_segment(struct source *s, const struct rr_manifest *m,
                                             bool init)
{
    struct rr_segment g = {0};
    g.object = (uint32_t)make_number(s, 0, m->object_count - 1);
    uint64_t length = m->objects[g.object].length;
    g.bytes = (uint32_t)make_number(s, 1, length < UINT32_MAX ? length : UINT32_MAX);
    g.offset = make_number(s, 0, length - g.bytes);
    if (!init) {
        g.start = make_u64(s);
        g.duration = make_u32(s);
    }
    make_field(s, g.digest);
    return g;
}

/* tracks: of version 2, with languages, labels, flags and subtitles. */
static inline struct rr_rendition make_rendition(struct source *s, const struct rr_manifest *m,
                                                 uint32_t index, bool tracks)
{
    struct rr_rendition r = {0};
    r.kind = tracks ? (enum rr_rendition_kind)make_number(s, 1, 3)
                    : (enum rr_rendition_kind)(2 - make_number(s, 0, 1));
    bool video = r.kind == RR_RENDITION_VIDEO;
    make_text(s, r.name, 2, RR_NAME_MAX, MAKE_NAME_LETTERS);
    r.name[0] = (char)('a' + index); /* names differ */
    make_text(s, r.codecs, 1, RR_NAME_MAX, "abcxyzABCXYZ0189.,_-");
    if (video) {
        r.width = (uint16_t)make_number(s, 1, UINT16_MAX);
        r.height = (uint16_t)make_number(s, 1, UINT16_MAX);
    }
    r.sar_num = (uint16_t)make_number(s, 1, UINT16_MAX);
    r.sar_den = (uint16_t)make_number(s, 1, UINT16_MAX);
    r.fps_num = make_u32(s);
    r.fps_den = (uint32_t)make_number(s, 1, UINT32_MAX);
    r.video_range = (uint8_t)make_number(s, 0, 2);
    r.channels = make_u16(s);
    r.sample_rate = make_u32(s);
    r.peak_bps = make_u32(s);
    r.mean_bps = make_u32(s);
    r.timescale = (uint32_t)make_number(s, 1, UINT32_MAX);
    if (tracks) {
        make_text(s, r.language, 0, 3, "abcdefghijklmnopqrstuvwxyz");
        make_text(s, r.label, 1, RR_NAME_MAX, "A label, 1-9!");
        r.flags = (uint8_t)make_number(s, 0, r.kind == RR_RENDITION_SUBTITLE ? 3 : 1);
    }
    r.init = make_segment(s, m, true);
    r.segment_count = make_count(s, 2, 4);
    r.segments = r.segment_count > 0 ? rr_alloc_array(r.segment_count, sizeof *r.segments) : NULL;
    for (uint32_t i = 0; i < r.segment_count; i++) {
        r.segments[i] = make_segment(s, m, false);
    }
    return r;
}

/* Owned: rr_manifest_clear. */
static inline struct rr_manifest make_manifest_of(struct source *s, bool tracks)
{
    static const struct rr_hash32 none;
    struct rr_manifest m = {0};
    m.chain_id = make_u32(s);
    make_field(s, m.owner);
    m.created_ms = make_u64(s);
    m.kind = (enum rr_resource_kind)make_number(s, 1, 3);
    m.revision = (uint32_t)make_number(s, 1, UINT32_MAX);
    make_text(s, m.title, 0, RR_NAME_MAX, "A title, 1-9!");
    m.slice_price = make_coin(s);
    m.slice_bytes = (uint32_t)make_number(s, 4096, 16u << 20);
    make_field(s, m.job_id);
    make_field(s, m.proof_root);
    m.object_count = 1 + make_count(s, 1, 3);
    m.objects = rr_alloc_array(m.object_count, sizeof *m.objects);
    for (uint32_t i = 0; i < m.object_count; i++) {
        m.objects[i] = make_object(s);
    }
    bool live = m.kind == RR_RESOURCE_LIVE;
    m.original = live ? 0 : (uint32_t)make_number(s, 0, m.object_count - 1);
    m.rendition_count = tracks ? 1 + make_count(s, 2, 3) : make_count(s, 2, 3);
    m.renditions =
        m.rendition_count > 0 ? rr_alloc_array(m.rendition_count, sizeof *m.renditions) : NULL;
    for (uint32_t i = 0; i < m.rendition_count; i++) {
        m.renditions[i] = make_rendition(s, &m, i, tracks);
    }
    rr_resource_id(&m.resource_id, m.chain_id, &m.owner,
                   live ? &none : &m.objects[m.original].object_id, m.created_ms, m.kind);
    make_field(s, m.signature);
    return m;
}

static inline struct rr_manifest make_manifest(struct source *s)
{
    return make_manifest_of(s, false);
}

static inline struct rr_job_spec make_job_spec(struct source *s)
{
    struct rr_job_spec j = {0};
    j.chain_id = make_u32(s);
    make_field(s, j.source);
    make_field(s, j.owner);
    j.created_ms = make_u64(s);
    make_text(s, j.profile, 1, RR_NAME_MAX, MAKE_NAME_LETTERS);
    j.crf = make_u16(s);
    j.gop_ms = (uint32_t)make_number(s, 100, 60000);
    j.audio_bps = make_u32(s);
    j.rung_count = (uint8_t)make_count(s, 3, RR_RUNGS_MAX);
    for (uint8_t i = 0; i < j.rung_count; i++) {
        j.rungs[i] = make_u16(s);
        j.rates[i].crf = make_u16(s);
        j.rates[i].kbps = (uint32_t)make_number(s, 0, RR_KBPS_MAX);
        j.rates[i].max_kbps = (uint32_t)make_number(s, 0, RR_KBPS_MAX);
    }
    j.tone_map = (uint8_t)make_number(s, 0, 1);
    j.challenges = make_u16(s);
    j.exactness = (enum rr_exactness)make_number(s, 0, 2);
    if (j.exactness != RR_EXACT) {
        make_text(s, j.maker, 1, RR_NAME_MAX, MAKE_NAME_LETTERS);
    }
    return j;
}

static inline struct rr_pot_leaf make_leaf(struct source *s)
{
    struct rr_pot_leaf l = {0};
    l.rendition = make_u16(s);
    l.gop = make_u32(s);
    l.source_first = make_u32(s);
    l.source_last = (uint32_t)make_number(s, l.source_first, UINT32_MAX);
    make_field(s, l.source_digest);
    make_field(s, l.output_digest);
    l.output_bytes = make_u64(s);
    return l;
}

static inline struct rr_pot_answer make_answer(struct source *s)
{
    struct rr_pot_answer a = {0};
    make_field(s, a.contract_id);
    make_field(s, a.job_id);
    a.leaf = make_leaf(s);
    a.place = make_place(s);
    return a;
}

static inline struct rr_certificate make_certificate(struct source *s)
{
    struct rr_certificate c = {0};
    c.chain_id = make_u32(s);
    make_field(s, c.cacher);
    make_field(s, c.viewer);
    c.block_height = make_u64(s);
    make_field(s, c.block_hash);
    c.nonce = make_u64(s);
    make_field(s, c.signature);
    return c;
}

/* Owned: rr_certificate_set_clear. */
static inline struct rr_certificate_set make_set(struct source *s)
{
    struct rr_certificate_set set = {.count = make_count(s, 3, 9)};
    set.entries = set.count > 0 ? rr_alloc_array(set.count, sizeof *set.entries) : NULL;
    for (uint32_t i = 0; i < set.count; i++) {
        struct rr_certificate_entry *e = &set.entries[i];
        e->certificate = make_certificate(s);
        memset(e->certificate.viewer.bytes, (int)(7 + i / 2), 32); /* two blocks of each viewer */
        e->certificate.block_height = 100 + i;
        make_field(s, e->pool_id);
        e->credit_ms = make_u64(s);
    }
    return set;
}

static inline struct rr_offer make_offer(struct source *s)
{
    struct rr_offer o = {0};
    make_field(s, o.resource_id);
    o.slice_price = make_coin(s);
    o.slice_bytes = make_u32(s);
    make_field(s, o.target);
    o.chain_id = make_u32(s);
    make_field(s, o.genesis);
    o.checkpoint_height = make_number(s, 0, INT64_MAX);
    make_field(s, o.checkpoint_hash);
    o.pool_blocks_min = make_u32(s);
    o.margin_blocks = make_u32(s);
    o.test_addresses = make_number(s, 0, 1) == 1;
    return o;
}

static inline struct rr_payment_header make_payment(struct source *s)
{
    struct rr_payment_header p = {0};
    make_bytes(s, p.session_id, sizeof p.session_id);
    uint64_t form = s->fixed ? 1 : make_number(s, 0, 2);
    if (form == 1) {
        p.has_preimage = true;
        p.depth = make_u32(s);
        make_field(s, p.preimage);
    } else if (form == 2) {
        p.has_voucher = true;
        p.voucher = make_voucher(s);
    }
    return p;
}
#endif
