# SPDX-License-Identifier: Apache-2.0
# CUDA without CMake's own language: CMake 3.25 knows no C++20 for nvcc and would silently compile
# C++17. nvcc is called directly, by tests and paint only; users compile the headers their own way.
set(SJD_CUDA AUTO CACHE STRING "Build what needs nvcc: AUTO (where it is found), ON, OFF")
set_property(CACHE SJD_CUDA PROPERTY STRINGS AUTO ON OFF)
set(SJD_CUDA_ARCHITECTURE 90 CACHE STRING "Compute capability of programs for a device, times ten")
set(SJD_NVCC_FLAGS -std=c++20 --expt-relaxed-constexpr)

set(SJD_NVCC "")
if(NOT SJD_CUDA STREQUAL "OFF")
  find_program(SJD_NVCC_PROGRAM nvcc HINTS "$ENV{CUDA_PATH}/bin" PATHS /usr/local/cuda/bin)
  if(SJD_NVCC_PROGRAM)
    set(SJD_NVCC "${SJD_NVCC_PROGRAM}")
  elseif(SJD_CUDA STREQUAL "AUTO")
    message(STATUS "sjd: nvcc was not found; the kernels are proved on the host executor alone")
  else()
    message(FATAL_ERROR "sjd: SJD_CUDA=ON, but nvcc was not found")
  endif()
endif()

# The kernels and their launchers. Usable without nvcc: the host executor runs the same bodies.
add_library(sjd_cuda INTERFACE)
add_library(sjd::cuda ALIAS sjd_cuda)
set_target_properties(sjd_cuda PROPERTIES EXPORT_NAME cuda)
target_link_libraries(sjd_cuda INTERFACE sjd)
target_compile_options(
  sjd_cuda INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20;--expt-relaxed-constexpr>")
