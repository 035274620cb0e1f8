# SPDX-License-Identifier: Apache-2.0
# One function for each kind of test that is not plain Catch2.

# Compilers that compile-time promises are checked with: the one in use, and clang++ where it exists.
find_program(SJD_CLANGXX NAMES clang++ clang++-14)
set(sjd_compilers "${CMAKE_CXX_COMPILER}")
if(SJD_CLANGXX AND NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  list(APPEND sjd_compilers "${SJD_CLANGXX}")
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  find_program(SJD_GXX g++)
  if(SJD_GXX)
    list(APPEND sjd_compilers "${SJD_GXX}")
  endif()
endif()

# An executable of Catch2 cases; every case is one ctest test, ended after sjd_test_timeout seconds.
function(sjd_add_catch_tests name)
  if(NOT DEFINED sjd_test_timeout)
    set(sjd_test_timeout 600)
  endif()
  sjd_add_program(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE sjd_catch_main)
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests")
  catch_discover_tests(${name} TEST_PREFIX "${name}: " PROPERTIES TIMEOUT ${sjd_test_timeout})
endfunction()

# Gives a program core_hash.hpp, the hash of the headers that it was built from; what it counts is
# counted for them and no others.
function(sjd_knows_core target)
  if(NOT TARGET sjd_core_hash)
    file(GLOB_RECURSE headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/sjd/*.hpp"
         "${PROJECT_SOURCE_DIR}/tests/support/table_*.hpp")
    set(hash "${PROJECT_BINARY_DIR}/tests/core_hash/core_hash.hpp")
    set(script "${PROJECT_SOURCE_DIR}/tests/stat/run")
    add_custom_command(OUTPUT "${hash}" COMMAND "${script}" --core-header "${hash}"
                       DEPENDS "${script}" ${headers} VERBATIM)
    add_custom_target(sjd_core_hash DEPENDS "${hash}")
    file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/tests/core_hash")
  endif()
  add_dependencies(${target} sjd_core_hash)
  target_include_directories(${target} PRIVATE "${PROJECT_BINARY_DIR}/tests/core_hash")
endfunction()

# Puts a program of small cases under address and undefined-behaviour sanitizers, where they work
# and the whole build is not instrumented anyway.
function(sjd_sanitize target)
  if(NOT DEFINED sjd_sanitizers_work)
    file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/probe_asan.cpp" "int main() {}\n")
    try_compile(
      sjd_sanitizers_work "${CMAKE_CURRENT_BINARY_DIR}/probe_asan"
      "${CMAKE_CURRENT_BINARY_DIR}/probe_asan.cpp"
      COMPILE_DEFINITIONS -fsanitize=address,undefined
      LINK_OPTIONS -fsanitize=address,undefined)
  endif()
  if(sjd_sanitizers_work AND NOT sjd_instrumented)
    target_compile_options(${target} PRIVATE -fsanitize=address,undefined -fno-sanitize-recover=all)
    target_link_options(${target} PRIVATE -fsanitize=address,undefined)
  endif()
endfunction()

# Files that must not compile, and whose first error line must hold the text they name.
function(sjd_add_compile_checks)
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/compile_fail/*.cpp")
  foreach(compiler IN LISTS sjd_compilers)
    get_filename_component(compiler_name "${compiler}" NAME)
    foreach(source IN LISTS sources)
      get_filename_component(name "${source}" NAME_WE)
      add_test(NAME "compile_fail: ${name} (${compiler_name})"
               COMMAND "${CMAKE_COMMAND}" -DCOMPILER=${compiler} -DSOURCE=${source}
                       -DINCLUDE=${PROJECT_SOURCE_DIR}/include -P
                       "${PROJECT_SOURCE_DIR}/tests/compile_fail/check.cmake")
    endforeach()
  endforeach()
endfunction()

# Every public header compiles alone, twice in one unit, without a warning.
function(sjd_add_header_checks)
  file(GLOB_RECURSE headers RELATIVE "${PROJECT_SOURCE_DIR}/include" CONFIGURE_DEPENDS
       "${PROJECT_SOURCE_DIR}/include/sjd/*.hpp")
  foreach(header IN LISTS headers)
    string(MAKE_C_IDENTIFIER "${header}" unit)
    set(source "${CMAKE_CURRENT_BINARY_DIR}/headers/${unit}.cpp")
    file(CONFIGURE OUTPUT "${source}" CONTENT "#include \"@header@\"\n#include \"@header@\"\n" @ONLY)
    foreach(compiler IN LISTS sjd_compilers)
      get_filename_component(compiler_name "${compiler}" NAME)
      add_test(NAME "header: ${header} (${compiler_name})"
               COMMAND "${compiler}" -std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic -Wconversion
                       -Wsign-conversion -Wshadow -Werror -I "${PROJECT_SOURCE_DIR}/include"
                       "${source}")
    endforeach()
  endforeach()
endfunction()

# The same seeded decodes under other flags must give the same digest.
function(sjd_add_digest_tests)
  set(digests "")
  foreach(flags IN ITEMS "-O0" "-O3" "-O3 -march=native" "-O2 -ffp-contract=fast -march=native")
    string(MAKE_C_IDENTIFIER "digest${flags}" name)
    add_executable(${name} digest/digest.cpp)
    separate_arguments(options UNIX_COMMAND "${flags}")
    target_compile_options(${name} PRIVATE ${options})
    target_link_libraries(${name} PRIVATE sjd::sjd)
    target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests")
    list(APPEND digests "$<TARGET_FILE:${name}>")
    list(APPEND digest_targets ${name})
  endforeach()
  add_custom_target(digest_programs DEPENDS ${digest_targets})
  add_test(NAME "digest: one decode, four builds"
           COMMAND "${CMAKE_COMMAND}" "-DPROGRAMS=${digests}"
                   "-DEXPECTED=${PROJECT_SOURCE_DIR}/tests/digest/expected.txt" -P
                   "${PROJECT_SOURCE_DIR}/tests/digest/compare.cmake")
endfunction()

# A project that finds the installed package, and one that adds this tree.
function(sjd_add_consumer_tests)
  set(hosts FALSE)
  if(nlohmann_json_FOUND AND Threads_FOUND)
    set(hosts TRUE)
  endif()
  foreach(kind IN ITEMS find_package add_subdirectory)
    add_test(NAME "consumer: ${kind}"
             COMMAND "${CMAKE_COMMAND}" -DKIND=${kind} "-DSJD_SOURCE=${PROJECT_SOURCE_DIR}"
                     "-DSJD_BINARY=${PROJECT_BINARY_DIR}" "-DCXX=${CMAKE_CXX_COMPILER}"
                     "-DVERSION=${PROJECT_VERSION}" -DHOSTS=${hosts}
                     "-DWORK=${CMAKE_CURRENT_BINARY_DIR}/consumer_${kind}" -P
                     "${PROJECT_SOURCE_DIR}/tests/consumer/check.cmake")
  endforeach()
endfunction()

# The examples run and print what they promise.
function(sjd_add_example_tests)
  add_test(NAME "example: 01_minimal" COMMAND 01_minimal)
  set_tests_properties(
    "example: 01_minimal"
    PROPERTIES PASS_REGULAR_EXPRESSION
               "plain AR +256 tokens in 255 forward passes.*SJD +256 tokens.*coupled SJD +256 tokens")
  add_test(NAME "example: 02_own_policy" COMMAND 02_own_policy)
  set_tests_properties("example: 02_own_policy" PROPERTIES
                       PASS_REGULAR_EXPRESSION "512 tokens in [12][0-9][0-9] forward.*lossless")
  add_test(NAME "example: 03_own_engine" COMMAND 03_own_engine)
  set_tests_properties("example: 03_own_engine" PROPERTIES
                       PASS_REGULAR_EXPRESSION "6 pictures, [3-9].*equal to plain AR")
  if(TARGET 04_device_loop)
    add_test(NAME "example: 04_device_loop" COMMAND 04_device_loop
                                                    "${PROJECT_SOURCE_DIR}/examples/paint/model")
    set_tests_properties("example: 04_device_loop" PROPERTIES PASS_REGULAR_EXPRESSION
                                                              "3 pictures of 16.*, 3 equal")
  endif()
endfunction()

# Instructions per element of the row path; compiled for the processor that valgrind imitates.
function(sjd_add_callgrind_test)
  add_executable(callgrind_rows callgrind/callgrind.cpp)
  target_compile_options(callgrind_rows PRIVATE -O3 -ffp-contract=off)
  target_link_libraries(callgrind_rows PRIVATE sjd::sjd)
  target_include_directories(callgrind_rows PRIVATE "${PROJECT_SOURCE_DIR}/tests")
  string(REGEX MATCH "^[0-9]+" major "${CMAKE_CXX_COMPILER_VERSION}")
  add_test(NAME "callgrind: instructions per element of the row path"
           COMMAND "${PROJECT_SOURCE_DIR}/tests/callgrind/check.sh" $<TARGET_FILE:callgrind_rows>
                   "${CMAKE_CXX_COMPILER_ID}-${major}-${CMAKE_BUILD_TYPE}")
  set_tests_properties("callgrind: instructions per element of the row path"
                       PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77)
endfunction()
