// SPDX-License-Identifier: Apache-2.0
#pragma once

// Debian 12 ships Catch2 v2 (one header), newer systems v3; the tests use what both offer.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

namespace sjd::test {

/// Catch2 moved its Approx between versions 2 and 3.
#if __has_include(<catch2/catch_all.hpp>)
using close_to = Catch::Approx;
#else
using close_to = Approx;
#endif

}  // namespace sjd::test
