# SPDX-License-Identifier: GPL-2.0-or-later
# How every part of the house is compiled: one warning set, one way to declare a module, a program or a test.

add_library(rr_flags INTERFACE)
target_compile_definitions(rr_flags INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64 RR_VERSION="${PROJECT_VERSION}")
target_include_directories(rr_flags INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/kernels
                                              ${CMAKE_SOURCE_DIR}/include)
target_compile_options(rr_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
  -Wpointer-arith -Wcast-qual -Wwrite-strings -Wvla -Wundef -Wformat=2 -Wswitch-enum -Wdouble-promotion
  -Wnull-dereference -Wimplicit-fallthrough -Wno-gnu-zero-variadic-macro-arguments
  -fvisibility=hidden -fno-strict-aliasing -fstack-protector-strong -fno-omit-frame-pointer
  -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
if(RR_WERROR)
  target_compile_options(rr_flags INTERFACE -Werror)
endif()
if(RR_SANITIZE)
  target_compile_options(rr_flags INTERFACE -fsanitize=${RR_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(rr_flags INTERFACE -fsanitize=${RR_SANITIZE})
  target_compile_definitions(rr_flags INTERFACE RR_SANITIZED=1)
endif()
if(RR_COVERAGE)
  target_compile_options(rr_flags INTERFACE --coverage)
  target_link_options(rr_flags INTERFACE --coverage)
endif()
if(RR_FUZZ)
  target_compile_options(rr_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(rr_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# rr_module(NAME SOURCES a.c ... [USES base crypto ...] [LIBS PkgConfig::X ...]): static library rr_NAME.
function(rr_module name)
  cmake_parse_arguments(M "" "" "SOURCES;USES;LIBS" ${ARGN})
  add_library(rr_${name} STATIC ${M_SOURCES})
  target_link_libraries(rr_${name} PUBLIC rr_flags)
  foreach(use ${M_USES})
    target_link_libraries(rr_${name} PUBLIC rr_${use})
  endforeach()
  if(M_LIBS)
    target_link_libraries(rr_${name} PRIVATE ${M_LIBS})
  endif()
endfunction()

# rr_program(NAME SOURCES ... USES ... LIBS ...): build/bin/NAME.
function(rr_program name)
  cmake_parse_arguments(P "" "" "SOURCES;USES;LIBS" ${ARGN})
  add_executable(${name} ${P_SOURCES})
  target_link_libraries(${name} PRIVATE rr_flags)
  foreach(use ${P_USES})
    target_link_libraries(${name} PRIVATE rr_${use})
  endforeach()
  if(P_LIBS)
    target_link_libraries(${name} PRIVATE ${P_LIBS})
  endif()
endfunction()

# rr_optional(NAME why-or-found): one line of the summary for each optional part.
set_property(GLOBAL PROPERTY RR_SUMMARY "")
function(rr_optional name text)
  set_property(GLOBAL APPEND PROPERTY RR_SUMMARY "${name}: ${text}")
endfunction()
function(rr_summary)
  get_property(lines GLOBAL PROPERTY RR_SUMMARY)
  message(STATUS "reelrig ${PROJECT_VERSION}, ${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION}, ${CMAKE_BUILD_TYPE}, sanitize: '${RR_SANITIZE}'")
  foreach(line ${lines})
    message(STATUS "  ${line}")
  endforeach()
endfunction()

# rr_embed(OUT_C FILE SYMBOL): a C file that holds FILE as `const char SYMBOL[]`, NUL-terminated.
function(rr_embed out file symbol)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  file(READ ${CMAKE_CURRENT_SOURCE_DIR}/${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  set(path ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.c)
  file(WRITE ${path}.new
       "/* made from ${file} */\nextern const char ${symbol}[];\nconst char ${symbol}[] = {${bytes}0x00};\n")
  file(COPY_FILE ${path}.new ${path} ONLY_IF_DIFFERENT)
  set(${out} ${path} PARENT_SCOPE)
endfunction()
