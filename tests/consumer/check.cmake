# SPDX-License-Identifier: Apache-2.0
# Builds and runs the consumer project against the installed package (KIND find_package) or against
# this source tree (KIND add_subdirectory).
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output
                  ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "failed: ${ARGN}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE "${WORK}")
set(arguments "-DCMAKE_CXX_COMPILER=${CXX}" -DCMAKE_BUILD_TYPE=Release "-DSJD_VERSION=${VERSION}"
    "-DSJD_HOSTS=${HOSTS}")
if(KIND STREQUAL "find_package")
  run("${CMAKE_COMMAND}" --install "${SJD_BINARY}" --prefix "${WORK}/prefix")
  list(APPEND arguments "-DCMAKE_PREFIX_PATH=${WORK}/prefix")
else()
  list(APPEND arguments "-DSJD_SOURCE=${SJD_SOURCE}")
endif()
run("${CMAKE_COMMAND}" -S "${SJD_SOURCE}/tests/consumer" -B "${WORK}/build" ${arguments})
run("${CMAKE_COMMAND}" --build "${WORK}/build")
run("${WORK}/build/consumer")
if(NOT output MATCHES "decoded 32 tokens with sjd ${VERSION}")
  message(FATAL_ERROR "the consumer printed: ${output}")
endif()
if(HOSTS)
  run("${WORK}/build/consumer_hosts")
  if(NOT output MATCHES "32 tasks on 2 threads")
    message(FATAL_ERROR "the consumer of the hosts printed: ${output}")
  endif()
endif()
