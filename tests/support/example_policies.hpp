// SPDX-License-Identifier: Apache-2.0
#pragma once

// The policies that readers are shown, GrowingWindow and SettlingDrafts, are the policies under
// test; their program is not.
#define main inline own_policy_main
#include "../../examples/02_own_policy.cpp"
#undef main
