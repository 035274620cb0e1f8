// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The only place where the version is written; CMake and the installed package read it from here.
#define SJD_VERSION_MAJOR 0
#define SJD_VERSION_MINOR 1
#define SJD_VERSION_PATCH 0
#define SJD_VERSION "0.1.0"
