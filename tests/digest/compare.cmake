# SPDX-License-Identifier: Apache-2.0
# Runs every program of PROGRAMS and demands the text of the file EXPECTED from each.
file(READ "${EXPECTED}" expected)
foreach(program IN LISTS PROGRAMS)
  execute_process(COMMAND "${program}" OUTPUT_VARIABLE found RESULT_VARIABLE result)
  if(NOT result EQUAL 0 OR NOT found STREQUAL expected)
    message(SEND_ERROR "${program}: expected\n${expected}found\n${found}")
  endif()
endforeach()
