#ifndef LIFEBOAT_GATE_FORMAT_H
#define LIFEBOAT_GATE_FORMAT_H

/*
 * The gate file as it lies in tmpfs (docs/formats/gate.md): how the guard tells every session of a PostgreSQL server until when
 * it may commit. C and C++: the guard writes it (src/guard/gate_file.cc), the module reads it (postgres/lifeboat_gate.c).
 *
 * Two pages, each with one writer. Page 0 is the guard's word. Page 1 is written by the postmaster that maps the file, so that
 * the guard can prove that its word is heard. All numbers are in the machine's own byte order; both ends run on one machine.
 *
 * Each page is written thus: sequence odd, content, checksum, sequence even. A reader copies it between two looks at the
 * sequence; anything odd, changed or of another checksum is a torn read, and a torn read is closed.
 */

#include <stddef.h>
#include <stdint.h>

#define LIFEBOAT_GATE_PAGE 4096
#define LIFEBOAT_GATE_FILE_SIZE (2 * LIFEBOAT_GATE_PAGE)
#define LIFEBOAT_GATE_BOOT_ID 40                                  /* 36 characters of the boot id, then zeros */
#define LIFEBOAT_GATE_HELD INT64_MAX                              /* both deadlines: held open, nothing is fenced */
#define LIFEBOAT_GATE_WORD_MAGIC UINT64_C(0x3145544147424C)       /* "LBGATE1" */
#define LIFEBOAT_GATE_ATTACHED_MAGIC UINT64_C(0x314843545441424C) /* "LBATTCH1" */

typedef struct LifeboatGateWord {
  uint64_t magic;
  uint64_t sequence;
  uint64_t open;            /* 1: commits are allowed until the deadline; 0: never */
  uint64_t epoch;           /* of the last permission; named in refusals */
  int64_t deadline_boot;    /* nanoseconds of CLOCK_BOOTTIME */
  int64_t deadline_raw;     /* nanoseconds of CLOCK_MONOTONIC_RAW */
  uint64_t system_id;       /* of the cluster that is meant */
  int64_t postmaster_pid;   /* the postmaster that is meant */
  int64_t postmaster_start; /* its starttime in /proc/PID/stat, clock ticks since boot */
  uint64_t counted_on;      /* 1: the guard delays its kill since this gate is in force; lifeboat.gate = off is not heeded */
  char boot_id[LIFEBOAT_GATE_BOOT_ID];
  uint64_t checksum;
} LifeboatGateWord;

typedef struct LifeboatGateAttached {
  uint64_t magic;
  uint64_t sequence;
  int64_t postmaster_pid;   /* the postmaster that maps this file */
  int64_t postmaster_start; /* as above */
  uint64_t system_id;       /* of its cluster */
  uint64_t enforce;         /* setting lifeboat.gate: 1 on, 0 off */
  uint64_t server_version;  /* PG_VERSION_NUM that the module was built for */
  char boot_id[LIFEBOAT_GATE_BOOT_ID];
  uint64_t checksum;
} LifeboatGateAttached;

/* FNV-1a over 64-bit words, against damage, not against malice. `bytes` is a multiple of 8. */
static inline uint64_t LifeboatGateSum(const void* content, size_t bytes) {
  const uint64_t* words = (const uint64_t*)content;
  uint64_t sum = UINT64_C(0xCBF29CE484222325);
  size_t at;
  for (at = 0; at < bytes / sizeof(uint64_t); ++at) sum = (sum ^ words[at]) * UINT64_C(0x100000001B3);
  return sum;
}

/* Everything between the sequence and the checksum. */
#define LIFEBOAT_GATE_BODY (2 * sizeof(uint64_t))
static inline uint64_t LifeboatGateWordSum(const LifeboatGateWord* word) {
  return LifeboatGateSum((const char*)word + LIFEBOAT_GATE_BODY, offsetof(LifeboatGateWord, checksum) - LIFEBOAT_GATE_BODY);
}
static inline uint64_t LifeboatGateAttachedSum(const LifeboatGateAttached* attached) {
  return LifeboatGateSum((const char*)attached + LIFEBOAT_GATE_BODY, offsetof(LifeboatGateAttached, checksum) - LIFEBOAT_GATE_BODY);
}

#endif
