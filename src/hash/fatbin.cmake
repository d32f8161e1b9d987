# SPDX-License-Identifier: GPL-2.0-or-later
# Run by the build (cuda.cmake): nvcc to a fatbin, its report of registers to a log beside it.
string(REPLACE " " ";" CODES "${CODES}")
execute_process(COMMAND ${NVCC} -fatbin -O3 --threads 0 -Xptxas -v ${COMPRESS} ${CODES} -I ${KERNELS}
                        ${KERNELS}/ethash/ethash.cu -o ${OUT}
                RESULT_VARIABLE code OUTPUT_VARIABLE text ERROR_VARIABLE log)
file(WRITE ${OUT}.log "${text}${log}")
if(NOT code EQUAL 0)
  message(FATAL_ERROR "nvcc failed:\n${text}${log}")
endif()
