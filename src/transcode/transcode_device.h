/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices of one job: who decodes, who encodes which rendition, how many sessions a driver gives,
 * and what happens when a device is gone. Renditions stay whole: one profile makes all GOPs of one,
 * and when that profile cannot be had any more, all of it is made again by another. New parameter
 * sets behind a discontinuity would be the other way; players handle them badly, and a verifier
 * judges a rendition by one profile. */
#ifndef RR_TRANSCODE_DEVICE_H
#define RR_TRANSCODE_DEVICE_H
#include "transcode/transcode_private.h"

#define TRANSCODE_CPU          (-1)
#define TRANSCODE_MAKER_RECORD "maker-%u"
/* How long until one session more than the driver last gave is tried. */
#define TRANSCODE_SESSION_RETRY_US UINT64_C(15000000)
/* The same while it gives none at all; and after how long of that the CPU takes over even when the
 * job would rather wait. */
#define TRANSCODE_SESSION_NONE_US UINT64_C(500000)
#define TRANSCODE_SESSION_WAIT_US UINT64_C(600000000)
#define TRANSCODE_STRIKES         2

struct transcode_device_state {
    struct rr_transcode_device facts;
    bool lost;
    unsigned strikes;  /* failures since the last GOP that came out well */
    unsigned sessions; /* that it last gave; 0: no limit was met */
    uint64_t retry_us; /* when one more is tried */
    uint64_t none_us;  /* since when it gives none; 0: it gives some */
};
struct transcode_devices {
    struct transcode_device_state list[RR_TRANSCODE_DEVICES_MAX];
    unsigned count;
    int source;              /* that decodes; TRANSCODE_CPU */
    int maker[RR_RUNGS_MAX]; /* of each rendition; TRANSCODE_CPU */
    bool dry[RR_RUNGS_MAX];  /* made again once already because parameter sets differed */
    enum rr_codec of;        /* the source's codec */
};

/* ---- names (transcode_device.c) ---- */
bool transcode_device_kind_known(const char *id);
/* Starts a worker that has opened the device. RR_ERR_BUSY, RR_ERR_UNSUPPORTED or RR_ERR_IO as the
 * driver answered, else as transcode_worker_start. */
enum rr_err transcode_device_worker(struct transcode_worker *worker, const char *program,
                                    const char *id, bool exact, struct rr_fault *fault) RR_MUST_USE;

/* rr_transcode_devices for the names in `wanted`, between commas; NULL: all. */
enum rr_err transcode_devices_find(struct rr_transcode_device out[static RR_TRANSCODE_DEVICES_MAX],
                                   size_t *count, const struct rr_transcode_options *options,
                                   const char *wanted, struct rr_fault *fault) RR_MUST_USE;

/* As transcode_worker_start for a device's worker, `program` with "-device" behind it, in the wider
 * sandbox. RR_ERR_STATE: not installed; RR_ERR_UNSUPPORTED: this kernel cannot fence it. */
enum rr_err transcode_worker_start_device(struct transcode_worker *worker, const char *program,
                                          struct rr_fault *fault) RR_MUST_USE;

/* ---- of a job (transcode_device_job.c) ---- */
/* Probes and chooses devices by the options, before transcode_job_encode. */
enum rr_err transcode_devices_choose(struct transcode_job *job, struct rr_fault *fault) RR_MUST_USE;
/* Fills profile and device of a rendition's result. */
void transcode_device_told(const struct transcode_job *job, unsigned rung,
                           struct rr_transcode_rendition *rendition);

/* ---- choices, pure (transcode_device_choice.c) ---- */
/* Devices of `found` that `wanted` (options->device) names, into `out`. RR_ERR_USAGE: no such kind
 * of device; RR_ERR_UNSUPPORTED: one that was named cannot be used, with its reason. */
enum rr_err transcode_devices_pick(struct transcode_devices *out,
                                   const struct rr_transcode_device *found, size_t count,
                                   const char *wanted, struct rr_fault *fault) RR_MUST_USE;
/* Who decodes and who encodes what. */
void transcode_devices_assign(struct transcode_devices *devices, const struct transcode_plan *plan,
                              const struct rr_transcode_facts *facts, bool exact);
/* Whether a device may be given one encoder more while `busy` work. */
bool transcode_device_may(const struct transcode_device_state *device, unsigned busy,
                          uint64_t now_us);
/* The driver refused a session while `busy` others worked. */
void transcode_device_refused(struct transcode_device_state *device, unsigned busy,
                              uint64_t now_us);
/* A session was opened and gave a GOP while `busy` worked in all. */
void transcode_device_gave(struct transcode_device_state *device, unsigned busy);
/* Another device for the rendition, of the same profile first; TRANSCODE_CPU when there is none. */
int transcode_device_other(const struct transcode_devices *devices,
                           const struct transcode_plan *plan, int from);
#endif
