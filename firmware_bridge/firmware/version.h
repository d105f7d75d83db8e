/* Version: what this firmware says of itself. The build gives SERIAL_NUMBER, of 1 to 16 characters. */
#ifndef PANEL_VERSION_H
#define PANEL_VERSION_H

#define FIRMWARE_MAJOR 1
#define FIRMWARE_MINOR 1
#define FIRMWARE_PATCH 0

#ifndef SERIAL_NUMBER
#define SERIAL_NUMBER "KP-0001"
#endif

#endif
