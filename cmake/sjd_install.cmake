# SPDX-License-Identifier: Apache-2.0
# Install rules: headers, the exported target and the files that find_package(sjd) reads.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

install(TARGETS sjd sjd_cuda EXPORT sjdTargets FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(EXPORT sjdTargets NAMESPACE sjd:: DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/sjd")
install(TARGETS sjd_hosts EXPORT sjdHostsTargets)
install(EXPORT sjdHostsTargets NAMESPACE sjd:: DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/sjd")
configure_package_config_file(
  "${PROJECT_SOURCE_DIR}/cmake/sjdConfig.cmake.in" "${PROJECT_BINARY_DIR}/sjdConfig.cmake"
  INSTALL_DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/sjd")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/sjdConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${PROJECT_BINARY_DIR}/sjdConfig.cmake" "${PROJECT_BINARY_DIR}/sjdConfigVersion.cmake"
        DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/sjd")
