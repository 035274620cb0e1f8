# SPDX-License-Identifier: Apache-2.0
# Compiles SOURCE and demands that it fails with its own sentence in the first error line.
#   // expected: text       the sentence
#   // flags: -ffast-math   more flags, optional
file(READ "${SOURCE}" text)
if(NOT text MATCHES "// expected: ([^\n]+)")
  message(FATAL_ERROR "${SOURCE} names no expected text")
endif()
set(expected "${CMAKE_MATCH_1}")
set(flags "")
if(text MATCHES "// flags: ([^\n]+)")
  separate_arguments(flags UNIX_COMMAND "${CMAKE_MATCH_1}")
endif()

set(command "${COMPILER}" -std=c++20 -fsyntax-only -I "${INCLUDE}" ${flags})
execute_process(COMMAND ${command} -DSJD_COMPILES "${SOURCE}" RESULT_VARIABLE twin
                ERROR_VARIABLE twin_errors OUTPUT_QUIET)
if(NOT twin EQUAL 0 AND flags STREQUAL "")
  message(FATAL_ERROR "the twin without the fault does not compile either:\n${twin_errors}")
endif()

execute_process(COMMAND ${command} "${SOURCE}" RESULT_VARIABLE result ERROR_VARIABLE errors
                OUTPUT_QUIET)
if(result EQUAL 0)
  message(FATAL_ERROR "${SOURCE} compiles; it must not")
endif()
string(REGEX MATCH "[^\n]*error:[^\n]*" first "${errors}")
string(FIND "${first}" "${expected}" at)
if(at EQUAL -1)
  message(FATAL_ERROR "expected in the first error line:\n  ${expected}\nfound:\n  ${first}")
endif()
