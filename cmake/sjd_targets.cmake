# SPDX-License-Identifier: Apache-2.0
# Private flags of this project's own programs. Nothing here reaches the interface target sjd::sjd.
include(CheckCXXCompilerFlag)

add_library(sjd_warnings INTERFACE)
target_compile_options(
  sjd_warnings
  INTERFACE -Wall
            -Wextra
            -Wpedantic
            -Wconversion
            -Wsign-conversion
            -Wshadow
            -Werror
            # Digests that are compared between machines must not depend on contraction.
            -ffp-contract=off)

add_library(sjd_native INTERFACE)
if(SJD_NATIVE)
  check_cxx_compiler_flag(-march=native SJD_HAS_MARCH_NATIVE)
  if(SJD_HAS_MARCH_NATIVE)
    target_compile_options(sjd_native INTERFACE -march=native)
  endif()
endif()

# sjd_add_program(NAME SOURCE...): an executable of this project under the private flags.
function(sjd_add_program name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE sjd::sjd sjd_warnings sjd_native)
endfunction()
