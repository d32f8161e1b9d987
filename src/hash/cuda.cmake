# SPDX-License-Identifier: GPL-2.0-or-later
# The backend `cuda` finds the driver at run time; its kernels need nvcc at build. Sets `cuda`, its sources.
set(RR_CUDA AUTO CACHE STRING "CUDA kernels: AUTO (where nvcc is), ON or OFF")
set(RR_CUDA_ARCHITECTURES 75 80 86 89 90 100 120 CACHE STRING "Compute capabilities to compile for, and PTX of the last")
find_program(RR_NVCC nvcc HINTS ENV CUDA_HOME PATHS /usr/local/cuda PATH_SUFFIXES bin)
set(cuda hash_cuda.c hash_cuda_driver.c hash_cuda_search.c hash_cuda_tune.c)
if(RR_CUDA STREQUAL "OFF")
  rr_optional(cuda "kernels off by RR_CUDA")
elseif(RR_NVCC)
  execute_process(COMMAND ${RR_NVCC} --version OUTPUT_VARIABLE text)
  string(REGEX MATCH "release ([0-9]+)\\.([0-9]+)" text "${text}")
  math(EXPR version "${CMAKE_MATCH_1} * 1000 + ${CMAKE_MATCH_2} * 10")
  execute_process(COMMAND ${RR_NVCC} --list-gpu-arch OUTPUT_VARIABLE known)
  set(codes)
  set(names)
  foreach(arch ${RR_CUDA_ARCHITECTURES})
    if(known MATCHES "compute_${arch}\n")
      list(APPEND codes -gencode arch=compute_${arch},code=sm_${arch})
      list(APPEND names ${arch})
      set(last ${arch})
    endif()
  endforeach()
  list(APPEND codes -gencode arch=compute_${last},code=compute_${last})
  set(compress)
  if(version GREATER_EQUAL 12080)
    set(compress --compress-mode=size)
  endif()
  set(source ${CMAKE_SOURCE_DIR}/kernels/ethash)
  set(fatbin ${CMAKE_CURRENT_BINARY_DIR}/ethash.fatbin)
  # What ptxas says of registers and spills stays beside the fatbin; a test reads it.
  add_custom_command(OUTPUT ${fatbin}
    COMMAND ${CMAKE_COMMAND} -DNVCC=${RR_NVCC} "-DCODES=${codes}" "-DCOMPRESS=${compress}"
            -DKERNELS=${CMAKE_SOURCE_DIR}/kernels -DOUT=${fatbin} -P ${CMAKE_CURRENT_SOURCE_DIR}/fatbin.cmake
    DEPENDS ${source}/ethash.cu ${source}/ethash_gpu.cuh ${source}/ethash_gpu.h ${source}/ethash_gpu_body.h
            ${source}/ethash_gpu_keccak.h ${source}/ethash_gpu_walk.h ${source}/ethash_gpu_build.h
            ${CMAKE_CURRENT_SOURCE_DIR}/fatbin.cmake
    COMMENT "CUDA kernels for ${names}" VERBATIM)
  set_source_files_properties(hash_cuda_driver.c PROPERTIES OBJECT_DEPENDS ${fatbin}
    COMPILE_DEFINITIONS "RR_CUDA_FATBIN=\"${fatbin}\";RR_CUDA_VERSION=${version}")
  string(REPLACE ";" " " names "${names}")
  rr_optional(cuda "kernels for ${names} by ${RR_NVCC}")
elseif(RR_CUDA STREQUAL "ON")
  message(FATAL_ERROR "RR_CUDA is ON and there is no nvcc; install the CUDA toolkit or name it by -DRR_NVCC=")
else()
  rr_optional(cuda "kernels off: no nvcc; CUDA devices will be listed as not usable (-DRR_NVCC= names one)")
endif()
