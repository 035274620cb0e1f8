# SPDX-License-Identifier: Apache-2.0
# cmake -DNVCC= -DARCH= -DSOURCE= -DINCLUDE= -DOUTPUT= -DEXPECTED= -DREGISTERS= -DNEEDED= -DREFUSED=
#       -P gate.cmake
# EXPECTED: kernels; REGISTERS: most of a thread; NEEDED, REFUSED: words of the PTX, with commas.
# Compiles all kernels for one architecture, warnings and spills being errors, prints registers and
# static shared memory of each, and holds them to the budget.
# One block or cluster a sequence, which has a multiprocessor to itself. Sequences fit 64 but on
# sm_80, where that spills 8 bytes.
set(most_redraw_registers 128)
set(most_sequences_registers 80)
set(most_shared 49152) # what a kernel may declare statically
set(flags -std=c++20 --expt-relaxed-constexpr -arch=sm_${ARCH} -Werror all-warnings
          -Xcompiler=-Wall,-Wextra -I ${INCLUDE})

get_filename_component(name_of_source "${SOURCE}" NAME_WE)
file(REMOVE_RECURSE "${OUTPUT}")
file(MAKE_DIRECTORY "${OUTPUT}")
execute_process(
  COMMAND ${NVCC} ${flags} -Xptxas=-v,-warn-spills,-warn-lmem-usage,-Werror -cubin
          --keep --keep-dir ${OUTPUT} -o ${OUTPUT}/kernels.cubin ${SOURCE}
  RESULT_VARIABLE status OUTPUT_VARIABLE text ERROR_VARIABLE text)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "nvcc for sm_${ARCH} failed:\n${text}")
endif()

string(REGEX MATCHALL "entry function '[^']*'" entries "${text}")
string(REGEX MATCHALL "Used [0-9]+ registers[^\n]*" used "${text}")
list(LENGTH entries count)
list(LENGTH used used_count)
if(NOT count EQUAL EXPECTED OR NOT used_count EQUAL count)
  message(FATAL_ERROR "sm_${ARCH}: ${count} kernels, ${used_count} with a register count; "
                      "${EXPECTED} expected:\n${text}")
endif()
foreach(entry use IN ZIP_LISTS entries used)
  string(REGEX REPLACE "entry function '(.*)'" "\\1" name "${entry}")
  string(REGEX REPLACE "^_ZN3sjd4cuda12phase_kernelINS0_6detail" "" name "${name}")
  string(REGEX REPLACE "Used ([0-9]+) registers.*" "\\1" registers "${use}")
  set(shared 0)
  if(use MATCHES "([0-9]+) bytes smem")
    set(shared ${CMAKE_MATCH_1})
  endif()
  message("sm_${ARCH}: ${registers} registers, ${shared} bytes of static shared memory: ${name}")
  set(limit ${REGISTERS})
  if(name MATCHES "RedrawKernel")
    set(limit ${most_redraw_registers})
  elseif(name MATCHES "SequencesKernel")
    set(limit ${most_sequences_registers})
  endif()
  if(registers GREATER limit OR shared GREATER most_shared)
    message(FATAL_ERROR "sm_${ARCH}: over the budget of ${limit} registers and "
                        "${most_shared} bytes")
  endif()
endforeach()

# The instructions that a promise rests on, and those that would break one.
file(READ "${OUTPUT}/${name_of_source}.ptx" ptx)
string(REPLACE "," ";" NEEDED "${NEEDED}")
string(REPLACE "," ";" REFUSED "${REFUSED}")
foreach(word IN LISTS NEEDED)
  if(NOT ptx MATCHES "${word}")
    message(FATAL_ERROR "sm_${ARCH}: no ${word} in the PTX")
  endif()
endforeach()
foreach(word IN LISTS REFUSED)
  if(ptx MATCHES "${word}")
    message(FATAL_ERROR "sm_${ARCH}: ${CMAKE_MATCH_0} in the PTX")
  endif()
endforeach()
