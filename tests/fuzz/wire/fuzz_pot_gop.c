/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "recode.h"

RECODE_TARGET(pot_gop)
