/*
 * lifeboat_gate: refuses commits in this server when the service's write lease has run out.
 *
 * The guard writes until when commits are allowed into a file in tmpfs (docs/formats/gate.md), which the postmaster maps and all
 * its children inherit. Every look costs two clock reads and a copy of 128 bytes: no lock, no system call, no SQL. Anything but
 * a whole word of this boot, this cluster and this very postmaster is closed; a started server is closed.
 *
 * Looked at twice. Before the commit (where there is an xid, since start-up and reading commit too), before PREPARE TRANSACTION
 * and before COMMIT PREPARED is executed: ERROR, SQLSTATE 25006. And again after the commit was flushed and its synchronous
 * standbys were waited for: there nothing may be raised any more (an ERROR would be a PANIC), and ending the session alone would
 * still send the acknowledgement; so the client's socket is shut, and then the session ends.
 *
 * Compiles for PostgreSQL 13 to 18.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "access/parallel.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "libpq/libpq-be.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/guc.h"

#include "guard/gate_format.h"

#if PG_VERSION_NUM < 130000
#error "lifeboat_gate needs PostgreSQL 13 or later"
#endif
#ifdef EXEC_BACKEND
#error "lifeboat_gate needs children that inherit the postmaster's mappings"
#endif

#if PG_VERSION_NUM >= 180000
PG_MODULE_MAGIC_EXT(.name = "lifeboat_gate", .version = "1");
#else
PG_MODULE_MAGIC;
#endif

#define TMPFS_TYPE 0x01021994
/* A writer of the word is done within a microsecond; one that was preempted or killed in its midst is not waited for longer. */
#define TORN_TRIES 20
#define TORN_PAUSE_US 100

void _PG_init(void);

/* Settings. */
static char *gate_file = NULL;
static bool gate_setting = true;
static char *gate_state = NULL;

/* Made by the postmaster, inherited by fork. */
static int gate_descriptor = -1;
static const char *gate_map = NULL;
static char boot_id[LIFEBOAT_GATE_BOOT_ID];
static int64 postmaster_start = 0;
static uint64 attached_sequence = 0;

/* Of one session. */
static bool commits_prepared = false; /* COMMIT PREPARED is being executed: it has no xid of its own to be known by */
static bool has_warned = false;

static ProcessUtility_hook_type next_ProcessUtility = NULL;

/* ---- reading ---- */

/* False: torn, damaged, or no such page. */
static bool
ReadPage(void *into, size_t size, size_t page, uint64 magic)
{
	const char *from = gate_map + page;
	const volatile uint64 *sequence = (const volatile uint64 *) from + 1;
	int			tries;

	if (gate_map == NULL)
		return false;
	for (tries = 0; tries < TORN_TRIES; tries++)
	{
		uint64		before = *sequence;

		if (before % 2 == 0)
		{
			pg_read_barrier();
			memcpy(into, from, size);
			pg_read_barrier();
			/* SAFETY: half of an older word and half of a newer one may name a deadline that nobody ever gave. */
			if (*sequence == before)
				return *(uint64 *) into == magic;
		}
		pg_usleep(TORN_PAUSE_US);
	}
	return false;
}

static bool
ReadWord(LifeboatGateWord *word)
{
	return ReadPage(word, sizeof(*word), 0, LIFEBOAT_GATE_WORD_MAGIC) && word->checksum == LifeboatGateWordSum(word);
}

static bool
IsOurs(int64 pid, int64 start, const char *boot, uint64 system_id)
{
	return memcmp(boot, boot_id, sizeof(boot_id)) == 0 && pid == PostmasterPid && start == postmaster_start &&
		system_id == GetSystemIdentifier();
}

static int64
ReadClock(clockid_t clock)
{
	struct timespec now;

	if (clock_gettime(clock, &now) != 0)
		return PG_INT64_MAX;	/* not known is late */
	return (int64) now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Nanoseconds until the deadline, by the clock that is ahead. */
static int64
TimeLeft(const LifeboatGateWord *word)
{
	int64		boot = word->deadline_boot - ReadClock(CLOCK_BOOTTIME);
	int64		raw = word->deadline_raw - ReadClock(CLOCK_MONOTONIC_RAW);

	return Min(boot, raw);
}

/*
 * NULL: open. Else why it is closed, for people. `word` is zeros where it could not be read.
 * SAFETY: each line is one way in which an old word could open a server that has no lease.
 */
static const char *
WhyClosed(LifeboatGateWord *word)
{
	if (gate_map == NULL || !ReadWord(word))
	{
		memset(word, 0, sizeof(*word));
		return gate_map == NULL ? "there is no gate file" : "the gate file holds no whole word of a guard";
	}
	if (memcmp(word->boot_id, boot_id, sizeof(boot_id)) != 0)
		return "the gate file is of another boot of this machine";
	if (word->system_id != GetSystemIdentifier())
		return "the gate file is another cluster's";
	if (!IsOurs(word->postmaster_pid, word->postmaster_start, word->boot_id, word->system_id))
		return "the guard has permitted nothing since this server was started";
	if (word->open != 1)
		return "the guard has closed it";
	if (TimeLeft(word) <= 0)
		return "the lease was not renewed in time";
	return NULL;
}

/*
 * Only in the closed case. The postmaster's word in the file counts, for all sessions at one instant; where there is none, our
 * own setting. SAFETY: while the guard delays its kill for this gate it cannot be turned off behind the guard's back.
 */
static bool
IsTurnedOff(const LifeboatGateWord *word)
{
	LifeboatGateAttached attached;
	bool		enforce = gate_setting;

	if (ReadPage(&attached, sizeof(attached), LIFEBOAT_GATE_PAGE, LIFEBOAT_GATE_ATTACHED_MAGIC) &&
		attached.checksum == LifeboatGateAttachedSum(&attached) &&
		IsOurs(attached.postmaster_pid, attached.postmaster_start, attached.boot_id, attached.system_id))
		enforce = attached.enforce != 0;
	if (enforce)
		return false;
	return !(word->counted_on == 1 &&
			 IsOurs(word->postmaster_pid, word->postmaster_start, word->boot_id, word->system_id));
}

/* NULL: this session may commit. */
static const char *
WhyRefused(LifeboatGateWord *word, bool may_warn)
{
	const char *why;

	/* Parallel workers commit with their leader, and single-user mode serves no client. */
	if (!IsUnderPostmaster || IsParallelWorker())
		return NULL;
	why = WhyClosed(word);
	if (why == NULL || RecoveryInProgress())
		return NULL;
	if (IsTurnedOff(word))
	{
		if (may_warn && !has_warned)
		{
			has_warned = true;
			ereport(WARNING,
					(errmsg("this server holds no write lease (%s), and commits nevertheless", why),
					 errdetail("The gate is turned off by setting lifeboat.gate."),
					 errhint("What is written now can be lost, or contradict the real primary. ALTER SYSTEM RESET lifeboat.gate, and reload.")));
		}
		return NULL;
	}
	return why;
}

/* ---- acting ---- */

static void
RefuseIfClosed(void)
{
	LifeboatGateWord word;
	const char *why = WhyRefused(&word, true);

	if (why == NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
			 word.epoch != 0 ?
			 errmsg("the write lease of epoch " UINT64_FORMAT " does not hold: this server commits nothing", (uint64) word.epoch) :
			 errmsg("this server holds no write lease: it commits nothing"),
			 errdetail("The gate is closed: %s.", why),
			 errhint("Connect again through the name of the service: its primary may be elsewhere by now. \"lifeboat status\" tells.")));
}

/*
 * The second look. What was committed stands, but its client must not be told: the next primary may not have it.
 * SAFETY: nothing is raised here. First the socket, then the session: an ending session still flushes its answer.
 */
static void
CutIfClosed(void)
{
	LifeboatGateWord word;
	const char *why;

	if (MyProcPort == NULL)
		return;					/* autovacuum, background worker: nobody waits for the answer */
	why = WhyRefused(&word, false);
	if (why == NULL)
		return;
	shutdown(MyProcPort->sock, SHUT_RDWR);
	ProcDiePending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
	ereport(LOG_SERVER_ONLY,
			(errmsg("a commit outlived the write lease of epoch " UINT64_FORMAT ": its client is cut off without an answer",
					(uint64) word.epoch),
			 errdetail("The gate is closed: %s.", why)));
}

static void
OnTransaction(XactEvent event, void *unused)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
				RefuseIfClosed();
			break;
		case XACT_EVENT_PRE_PREPARE:
			RefuseIfClosed();
			break;
		case XACT_EVENT_COMMIT:
			if (commits_prepared || TransactionIdIsValid(GetTopTransactionIdIfAny()))
				CutIfClosed();
			commits_prepared = false;
			break;
		case XACT_EVENT_PREPARE:
			CutIfClosed();
			break;
		case XACT_EVENT_ABORT:
			commits_prepared = false;
			break;
		default:
			break;				/* parallel workers */
	}
}

/*
 * COMMIT PREPARED: the callback before the commit comes only after the prepared transaction has been flushed as committed, and
 * without an xid: an error there would be one about a row that stands.
 */
static void
GateProcessUtility(PlannedStmt *statement, const char *text,
#if PG_VERSION_NUM >= 140000
				   bool read_only_tree,
#endif
				   ProcessUtilityContext context, ParamListInfo parameters, QueryEnvironment *environment,
				   DestReceiver *destination, QueryCompletion *completion)
{
	if (IsA(statement->utilityStmt, TransactionStmt) &&
		((TransactionStmt *) statement->utilityStmt)->kind == TRANS_STMT_COMMIT_PREPARED)
	{
		RefuseIfClosed();
		commits_prepared = true;
	}
#if PG_VERSION_NUM >= 140000
	(next_ProcessUtility ? next_ProcessUtility : standard_ProcessUtility) (statement, text, read_only_tree, context, parameters,
																			environment, destination, completion);
#else
	(next_ProcessUtility ? next_ProcessUtility : standard_ProcessUtility) (statement, text, context, parameters, environment,
																			destination, completion);
#endif
}

/* ---- the postmaster ---- */

/*
 * Says in page 1 that this postmaster maps the file, and how it is set. By pwrite, not through memory: the guard is woken
 * by it (inotify), and no child has a mapping of this file that it could write to.
 */
static void
WriteAttached(bool enforce)
{
	LifeboatGateAttached attached;

	if (gate_descriptor < 0)
		return;
	memset(&attached, 0, sizeof(attached));
	attached.magic = LIFEBOAT_GATE_ATTACHED_MAGIC;
	attached.postmaster_pid = PostmasterPid;
	attached.postmaster_start = postmaster_start;
	attached.system_id = GetSystemIdentifier();
	attached.enforce = enforce ? 1 : 0;
	attached.server_version = PG_VERSION_NUM;
	memcpy(attached.boot_id, boot_id, sizeof(boot_id));
	attached.checksum = LifeboatGateAttachedSum(&attached);
	attached.sequence = ++attached_sequence * 2 + 1;
	if (pwrite(gate_descriptor, &attached, sizeof(attached), LIFEBOAT_GATE_PAGE) != sizeof(attached))
	{
		ereport(LOG, (errcode_for_file_access(), errmsg("could not write gate file \"%s\": %m", gate_file)));
		return;					/* the sequence is odd: for the guard there is no gate */
	}
	attached.sequence++;
	if (pwrite(gate_descriptor, &attached.sequence, sizeof(attached.sequence),
			   LIFEBOAT_GATE_PAGE + offsetof(LifeboatGateAttached, sequence)) != sizeof(attached.sequence))
		ereport(LOG, (errcode_for_file_access(), errmsg("could not write gate file \"%s\": %m", gate_file)));
}

static void
SayTurnedOff(void)
{
	ereport(WARNING,
			(errmsg("the gate is turned off: this server also commits when it holds no write lease"),
			 errhint("For maintenance only. ALTER SYSTEM RESET lifeboat.gate, and reload.")));
}

static void
AssignGate(bool on, void *extra)
{
	if (gate_descriptor < 0 || MyProcPid != PostmasterPid || on == gate_setting)
		return;
	WriteAttached(on);
	if (!on)
		SayTurnedOff();
}

static const char *
ShowGateState(void)
{
	static char text[160];
	LifeboatGateWord word;
	const char *why = WhyClosed(&word);

	if (why == NULL && word.deadline_boot == LIFEBOAT_GATE_HELD && word.deadline_raw == LIFEBOAT_GATE_HELD)
		snprintf(text, sizeof(text), "held open: lifeboat only observes, and nothing is fenced");
	else if (why == NULL)
		snprintf(text, sizeof(text), "open for " INT64_FORMAT " ms, epoch " UINT64_FORMAT, TimeLeft(&word) / 1000000,
				 (uint64) word.epoch);
	else
		snprintf(text, sizeof(text), "%s: %s", IsTurnedOff(&word) ? "off, else closed" : "closed", why);
	return text;
}

static void
ReadSmall(const char *path, char *into, size_t size)
{
	int			file = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t		got = file < 0 ? -1 : read(file, into, size - 1);

	if (file >= 0)
		close(file);
	if (got <= 0)
		ereport(FATAL, (errcode_for_file_access(), errmsg("could not read \"%s\": %m", path)));
	into[got] = '\0';
}

/* What cannot be confused with an earlier server: the boot, and when this process was started. */
static void
ReadIdentity(void)
{
	char		text[1024];
	const char *field;
	int			number;

	ReadSmall("/proc/sys/kernel/random/boot_id", text, sizeof(text));
	memset(boot_id, 0, sizeof(boot_id));
	memcpy(boot_id, text, Min(strcspn(text, "\n"), sizeof(boot_id) - 1));
	ReadSmall("/proc/self/stat", text, sizeof(text));
	field = strrchr(text, ')');	/* the name before it may hold anything */
	for (number = 2; field != NULL && number < 22; number++)
		field = strchr(field + 1, ' ');
	if (field == NULL)
		ereport(FATAL, (errmsg("could not understand \"/proc/self/stat\"")));
	postmaster_start = strtoll(field, NULL, 10);
}

/* NULL: it is fit to be a gate file. */
static const char *
WhyUnfit(int file)
{
	struct stat status;
	struct statfs system;

	if (fstat(file, &status) != 0 || fstatfs(file, &system) != 0)
		return "it cannot be looked at";
	/* SAFETY: in a folder like /dev/shm anybody could have placed it first, and would decide when this server may commit. */
	if (!S_ISREG(status.st_mode) || (status.st_uid != geteuid() && status.st_uid != 0) || (status.st_mode & (S_IWGRP | S_IWOTH)))
		return "it must be a plain file of this server's user or of root, and writable for nobody else";
	if (system.f_type != TMPFS_TYPE)
		return "it must lie in tmpfs, since sessions must never wait for a disk to read it";
	if (status.st_size < LIFEBOAT_GATE_FILE_SIZE && posix_fallocate(file, 0, LIFEBOAT_GATE_FILE_SIZE) != 0)
		return "there is no room for it";
	return NULL;
}

/* A server without its gate file starts all the same, closed: it may be one that only stands by. */
static void
Attach(void)
{
	const char *why;
	void	   *mapped;
	/* Not O_CREAT at first: the kernel refuses it for a file of another user in a sticky folder. @source proc(5), protected_regular */
	int			file = open(gate_file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (file < 0 && errno == ENOENT)
		file = open(gate_file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file < 0 && errno == EEXIST)
		file = open(gate_file, O_RDWR | O_CLOEXEC | O_NOFOLLOW); /* the guard came first */
	if (file < 0)
	{
		ereport(WARNING, (errcode_for_file_access(), errmsg("could not open gate file \"%s\": %m", gate_file),
						  errdetail("The gate stays closed: this server commits nothing until it is restarted.")));
		return;
	}
	why = WhyUnfit(file);
	mapped = why != NULL ? MAP_FAILED : mmap(NULL, LIFEBOAT_GATE_FILE_SIZE, PROT_READ, MAP_SHARED, file, 0);
	if (mapped == MAP_FAILED)
	{
		ereport(WARNING, (errmsg("gate file \"%s\" cannot be used: %s", gate_file, why != NULL ? why : "it cannot be mapped"),
						  errdetail("The gate stays closed: this server commits nothing until it is restarted.")));
		close(file);
		return;
	}
	ReserveExternalFD();
	gate_descriptor = file;
	gate_map = mapped;
	WriteAttached(gate_setting);
	if (!gate_setting)
		SayTurnedOff();
}

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("lifeboat_gate must be loaded by \"shared_preload_libraries\"")));
	DefineCustomStringVariable("lifeboat.gate_file", "File in tmpfs by which the guard allows commits.",
							   "Empty: there is no gate.", &gate_file, "", PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("lifeboat.gate", "Refuses commits while this server holds no write lease.",
							 "Off is for maintenance.", &gate_setting, true, PGC_SIGHUP, 0, NULL, AssignGate, NULL);
	DefineCustomStringVariable("lifeboat.gate_state", "Whether this server may commit, and why not.", NULL, &gate_state, "",
							   PGC_INTERNAL, GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE, NULL, NULL, ShowGateState);
#if PG_VERSION_NUM >= 150000
	MarkGUCPrefixReserved("lifeboat");
#else
	EmitWarningsOnPlaceholders("lifeboat");
#endif
	if (!IsPostmasterEnvironment)
		return;					/* single-user mode, bootstrap */
	if (gate_file == NULL || gate_file[0] == '\0')
	{
		ereport(WARNING, (errmsg("lifeboat_gate is loaded, but lifeboat.gate_file is not set: there is no gate")));
		return;
	}
	ReadIdentity();
	Attach();
	RegisterXactCallback(OnTransaction, NULL);
	next_ProcessUtility = ProcessUtility_hook;
	ProcessUtility_hook = GateProcessUtility;
}
