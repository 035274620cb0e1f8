// SPDX-License-Identifier: Apache-2.0
#pragma once

/// SJD_HOST_DEVICE marks the arithmetic that CPU and CUDA share.
#if defined(__CUDACC__)
#define SJD_HOST_DEVICE __host__ __device__
#else
#define SJD_HOST_DEVICE
#endif

/// SJD_DEVICE marks what only kernel bodies call: device code under nvcc, else code of the host
/// executor.
#if defined(__CUDACC__)
#define SJD_DEVICE __device__
#else
#define SJD_DEVICE
#endif

/// Fast-math folds isnan and reorders sums: no promise of this library would hold under it.
#if defined(__FAST_MATH__) || defined(__USE_FAST_MATH__) || \
    (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "sjd: -ffast-math (or -ffinite-math-only) breaks exact decoding; compile without it"
#endif

#if !defined(__SIZEOF_INT128__)
#error "sjd: the compiler must offer unsigned __int128 (exact probability ratios are held in it)"
#endif

namespace sjd {

/// Exact products of probability masses; at most 2^98 for a vocabulary of 2^18.
__extension__ typedef unsigned __int128 uint128;

}  // namespace sjd
