/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TEST_FAKE_NVML_H
#define TEST_FAKE_NVML_H

#define FAKE_NVML_UUID "GPU-5eed0000-0000-4000-8000-000000000001"
#define FAKE_NVML_PCI  "0000:65:00.0"

enum fake_nvml {
    FAKE_NVML_GOOD,
    FAKE_NVML_ERRORS,   /* every question fails */
    FAKE_NVML_ABSURD,   /* every answer is beyond what can be */
    FAKE_NVML_SLICE,    /* knows no temperature */
    FAKE_NVML_LOST,     /* the card has fallen off the bus */
    FAKE_NVML_NO_START, /* the library does not start */
    FAKE_NVML_HANG,     /* questions do not come back until another mode is set */
};
void fake_nvml_set(int now);
int fake_nvml_starts(void); /* starts without their shutdown */
#endif
