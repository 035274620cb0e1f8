// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Everything that host code needs; nothing here needs nvcc.
#include "sjd/denoiser.hpp"
#include "sjd/methods.hpp"
#include "sjd/plain_ar.hpp"
#include "sjd/version.hpp"
