/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernels with 6 bits to compare candidates by. */
#define EMULATED_TABLE         emulated_kernels_narrow
#define RR_ETHASH_GPU_TOP_MASK 0xfc00000000000000ULL
#include "cuda/emulated_kernels.c" /* NOLINT(bugprone-suspicious-include) */
