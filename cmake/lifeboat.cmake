# lifeboat_library(NAME folder LINKS …): one static library a folder of src/. LINKS are the folders whose headers it may
# include (scripts/check_layers.py compares them with the #include lines) and the packages it uses.
# Unit tests stand beside the code as *_test.cc and become one test program a folder.

add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers
  -Wno-mismatched-new-delete)  # g++ 12 misreads the frames of awaitables: their memory is recycled by Asio
add_compile_definitions(BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION)

# Asio, Beast and the JSON library are parsed once, not in every file.
add_library(lifeboat_headers STATIC ${CMAKE_SOURCE_DIR}/cmake/pch.cc)
target_include_directories(lifeboat_headers PUBLIC ${CMAKE_SOURCE_DIR}/src)
target_link_libraries(lifeboat_headers PUBLIC Boost::headers nlohmann_json::nlohmann_json OpenSSL::Crypto Threads::Threads)
target_precompile_headers(lifeboat_headers PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch.h)

# Test programs are not optimised, which halves the time they take to build, so they parse these headers for themselves.
add_library(lifeboat_test_headers STATIC ${CMAKE_SOURCE_DIR}/cmake/test_headers.cc)
target_link_libraries(lifeboat_test_headers PUBLIC lifeboat_headers GTest::gmock)
target_compile_options(lifeboat_test_headers PRIVATE -O0)
target_precompile_headers(lifeboat_test_headers PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch.h <gmock/gmock.h> <gtest/gtest.h>)

function(lifeboat_library folder)
  cmake_parse_arguments(ARG "" "" "LINKS;PACKAGES;TEST_LINKS" ${ARGN})
  string(REPLACE "/" "_" target "lifeboat_${folder}")
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "(_test|/main)\\.cc$")
  if(NOT sources)
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  else()
    add_library(${target} STATIC ${sources})
    set(scope PUBLIC)
    target_precompile_headers(${target} REUSE_FROM lifeboat_headers)
  endif()
  target_link_libraries(${target} ${scope} lifeboat_headers ${ARG_PACKAGES})
  foreach(link ${ARG_LINKS})
    string(REPLACE "/" "_" link_target "lifeboat_${link}")
    target_link_libraries(${target} ${scope} ${link_target})
  endforeach()
  if(tests)
    lifeboat_test(${target}_test SOURCES ${tests} LINKS ${target} ${ARG_TEST_LINKS} LABEL unit)
  endif()
endfunction()

# lifeboat_test(name SOURCES … LINKS targets… LABEL unit|integration|scenario [TOGETHER] [FIXTURE name]): a GoogleTest program, one
# ctest entry a test. TOGETHER: one entry for all of them, where they share a server that takes long to start. FIXTURE: what ctest
# must have set up before; where that fails, they have failed.
function(lifeboat_test name)
  cmake_parse_arguments(ARG "TOGETHER" "LABEL;TIMEOUT;FIXTURE" "SOURCES;LINKS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 180)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_compile_options(${name} PRIVATE -O0)
  target_precompile_headers(${name} REUSE_FROM lifeboat_test_headers)
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${ARG_LINKS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE LIFEBOAT_PROGRAM="${CMAKE_BINARY_DIR}/bin/lifeboat")
  set(properties LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT})
  if(ARG_FIXTURE)
    list(APPEND properties FIXTURES_REQUIRED ${ARG_FIXTURE})
  endif()
  if(ARG_TOGETHER)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES ${properties})
  else()
    gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST PROPERTIES ${properties})
  endif()
endfunction()
include(GoogleTest)
