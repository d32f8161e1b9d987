/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The door of base, floor 0: everything below is for every other folder. */
#ifndef RR_BASE_H
#define RR_BASE_H
#include "base/bytes.h"
#include "base/clock.h"
#include "base/coin.h"
#include "base/config.h"
#include "base/counters.h"
#include "base/err.h"
#include "base/files.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/u256.h"
#endif
