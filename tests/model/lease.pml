/*
 * The write lease (docs/lease.md), checked by spin: never two regions whose databases accept writes.
 *
 * Region 0 is the primary at the beginning, 1 and 2 are its candidates. Every region can play every part: which one it
 * plays stands in the store's item. One process a region, one for the store, one for time. Each step
 * of a process is one atomic option of its loop, so that a region can be slow, frozen or cut off by just not being chosen.
 *
 * Time. One tick of true time counts all timers down. A timer holds what is left of a duration in true ticks, for the
 * worst clock that the protocol allows: the holder's clock runs slow by DRIFT and the guard needs KILL to close, so its
 * gate is open for OPEN_FOR after the question; the clock of whoever waits runs fast, so it waits for WAIT_FOR only.
 * A longer opening and a shorter wait only add behaviours, so the worst clock stands for all of them.
 *
 * t0. A question and its answer carry `left`: what is left of OPEN_FOR since before the question. It is counted down with
 * everything else, so it is the t0 that the protocol has the answer echo.
 *
 * Versions. `current[r]`: the item stands as region r last read it. A transaction that was sent on a version that is no
 * more can never be applied and is taken out of the network; this is the compare of the whole item.
 *
 * The network loses, delays and reorders: whatever is on its way can arrive at any time or never. At most one message is on
 * its way between two regions, and one transaction or its answer between a region and the store, and beside it (LATE) one
 * answer to an earlier renewal; what is sent later counts the earlier one as lost. Duplicates say nothing new: a question
 * that comes twice binds twice, an answer that comes twice gives the same deadline.
 *
 * What is left out: probes that bind nobody (lease.md 2.4: a primary here may always ask, which allows more), attestation,
 * the two clocks of one machine, the disk (a record is synced before anything rests on it; FORGETS is the seeded bug).
 *
 * Switches: what can happen (LATE, RELEASE, CRASHES=n, STORE_RESTART, STORE_RESTORE, MEMBERSHIP=n), one BUG_… a run that
 * leaves one rule out, one REACH_… a run that asserts that something good never happens, and must be refuted too.
 * tests/model/run.sh is the table of runs.
 */

#ifndef L
#define L 2
#endif
#ifndef DRIFT
#define DRIFT 0
#endif
#ifndef KILL
#define KILL 0
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef CRASHING
#define CRASHING 7 /* the regions whose agents crash */
#endif
#ifndef EPOCHS
#define EPOCHS 3
#endif
#ifndef RENEWALS_BY_STORE
#define RENEWALS_BY_STORE 1
#endif
#ifndef FIRST_SET
#define FIRST_SET 6
#endif

/* What the settings say (lease.md 2.2 and 4.1): L·(1−ρ) − margin for the holder, L·(1+ρ) for whoever waits. */
#ifdef BUG_NO_RHO
#define RHO 0
#else
#define RHO DRIFT
#endif
#ifdef BUG_NO_MARGIN
#define MARGIN 0
#else
#define MARGIN KILL
#endif

#ifdef L_OF_CANDIDATES /* the candidates' file holds a shorter L than the primary's (lease.md 3: the lesser counts) */
#define L_ASKED L
#define L_GRANTED L_OF_CANDIDATES
#else
#define L_ASKED L
#define L_GRANTED L
#endif
#ifdef BUG_L_DIFFERS
#define L_PROMISED L_ASKED /* the primary counts on what it asked for */
#define L_WATCHED L_GRANTED /* the candidate waits by its own file */
#else
#define L_PROMISED L_GRANTED
#define L_WATCHED L_ASKED
#endif

#ifndef BUG_DEADLINE_FROM_THE_ANSWER
#ifndef BUG_ANSWERS_WITHOUT_T0
#ifndef BUG_RELEASE_NOT_TERMINAL
#define EARLIER_ROUNDS_SAY_NOTHING /* a round that ends before the lease that the holder has cannot lengthen it */
#endif
#endif
#endif

#define OPEN_FOR (L_ASKED - RHO + DRIFT - MARGIN + KILL) /* by the store's word */
#define SHORTER (L_ASKED - L_PROMISED)                   /* by the candidates' word, so much less */
#define PROMISE_FOR (L_GRANTED + RHO - DRIFT)
#define WATCH_FOR (L_WATCHED + RHO - DRIFT)
#ifndef TICKS
#define TICKS 3 /* no round is open for longer, and one more */
#endif

#define BIT_OF(r) (1 << (r))
#define HAS(set, r) (((set) >> (r)) & 1)
#define PAIR(a, b) ((a) * 3 + (b))
#define ROUND(r, left) ((r) * TICKS + (left))

/* ---- the store: one item ---- */
byte item_epoch = 1;
byte item_holder = 0;
byte item_set = FIRST_SET; /* candidates: regions 1 and 2 */
bit item_this_run = 1;     /* holder_agent names the holder's present run */
bit item_released = 0;
byte item_heir = 0;

/* ---- transactions on their way: at most one a region ---- */
mtype = { nothing, renew, claim, release, member };
mtype txn[3] = nothing;
bit txn_done[3];  /* applied: what travels is the answer */
bit txn_same[3];  /* the item still stands as this transaction wrote it */
bit txn_old[3];   /* sent by an earlier run of the agent */
byte txn_epoch[3];
byte txn_left[3];
byte txn_set[3];
#ifdef LATE
byte late_left[3]; /* an answer to a renewal that was overtaken by a later transaction of the same region; 0: none */
byte late_epoch[3];
#endif

/* ---- questions for promises and their answers: at most one a pair ---- */
mtype = { question, answer };
mtype ask[9] = nothing;
byte ask_epoch[9];
byte ask_left[9];
#ifdef BUG_RELEASE_TOLD_DIRECTLY
bit notice[3];
#endif

/* ---- each region ---- */
byte known[3] = 1;  /* durable: the highest epoch seen */
byte ended[3];      /* durable: the highest epoch that it ended by its own word */
bit current[3] = 1; /* it has read the item as it stands now */
byte reign[3];      /* the epoch that this run believes to hold; 0: none */
byte set[3];        /* the candidates whose promises it needs */
byte plus[3];       /* being added: needed as well */
byte got[3 * TICKS];      /* who promised, by what is left of the round */
byte promise[3];    /* left of the promise that it gave */
byte watch[3];      /* left of the wait since the answer that showed the item as it stands now */
byte startup[3];    /* left of the start-up wait */
bit claiming[3];    /* a claim was sent, its fate is not known */
byte permit[3];     /* left of the lease: what the guard and the gate count */
bit primary[3];     /* its database is no standby */
#ifdef BUG_ANSWERS_WITHOUT_T0
byte round[3];      /* left of the newest round */
#endif
#ifdef BUG_COUNTER_TIMED_FROM_THE_QUESTION
byte asked_store[3]; /* 0: no reading on its way; else 1 + what the wait would be if counted from the question */
#endif

byte crashes = CRASHES;
#ifdef STORE_RESTART
bit restarted = 0;
#endif
#ifdef STORE_RESTORE
bit restored = 0;
#endif

/* The database of r accepts writes. */
#define OPEN(r) (primary[r] && permit[r] > 0)

/* THE PROPERTY: one writer. */
#define ONE_WRITER assert(OPEN(0) + OPEN(1) + OPEN(2) <= 1)


hidden byte i, j;

/* Nothing that an ended reign knew may tell later states apart. */
inline lay_down(r) {
  for (i : 0 .. TICKS - 1) { got[ROUND(r, i)] = 0 }
  reign[r] = 0; set[r] = 0; plus[r] = 0 /* last: a loop at the end of a d_step would leave it */
}

inline forget_txn(r) {
  txn[r] = nothing; txn_done[r] = 0; txn_same[r] = 0; txn_old[r] = 0; txn_epoch[r] = 0; txn_left[r] = 0; txn_set[r] = 0;
}

inline forget_ask(p) { ask[p] = nothing; ask_epoch[p] = 0; ask_left[p] = 0 }

/* A region's database accepts writes until `left` is over. A blip needs no person: the gate opens again (lease.md 2.4). */
inline open_until(r, left) {
#ifdef REACH_REOPENED
  assert(!(primary[r] && permit[r] == 0 && (left) > 0));
#endif
  if :: (left) > permit[r] -> permit[r] = (left) :: else fi;
#ifdef EARLIER_ROUNDS_SAY_NOTHING
  for (i : 0 .. TICKS - 1) { if :: i <= permit[r] -> got[ROUND(r, i)] = 0 :: else fi }
  for (i : 0 .. 2) { if :: ask[PAIR(r, i)] == answer && ask_left[PAIR(r, i)] <= permit[r] -> forget_ask(PAIR(r, i)) :: else fi }
#endif
  ONE_WRITER;
}

/* ---- a transaction is sent: any earlier one of this region counts as lost, an earlier answer can still arrive (LATE) ---- */
inline send(r, kind, epoch) {
#ifdef LATE
  if
  :: txn[r] == renew && txn_done[r] -> late_left[r] = txn_left[r]; late_epoch[r] = txn_epoch[r];
       if :: late_left[r] == 0 -> late_epoch[r] = 0 :: else fi
  :: else
  fi;
#endif
  forget_txn(r);
  txn[r] = kind; txn_epoch[r] = epoch; txn_left[r] = OPEN_FOR;
}

#ifdef MEMBERSHIP
byte changes = MEMBERSHIP; /* as many changes of the candidates are begun */
#define CHANGEABLE(r) \
  (changes > 0 && reign[r] > ended[r] && current[r] && item_holder == r && !item_released && plus[r] == 0 && FREE(r))
#endif

#ifdef BUG_EXTENSION_COMPARES_NOTHING
#define COMPARES(kind) (kind != renew)
#else
#define COMPARES(kind) 1
#endif

/* The item has changed by the transaction of r: nobody has read it yet, transactions on the old version are dead. */
inline item_changed(r) {
  for (i : 0 .. 2) {
    current[i] = 0; txn_same[i] = 0;
    if
    :: i != r && txn[i] != nothing && !txn_done[i] && COMPARES(txn[i]) -> forget_txn(i)
    :: else
    fi
  }
}

/* A higher epoch is known: durable first, and a holder of a lower one closes at once. */
inline know(r, epoch) {
  if
  :: epoch > known[r] -> known[r] = epoch;
       if :: reign[r] > 0 && reign[r] < epoch -> lay_down(r); permit[r] = 0 :: else fi
  :: else
  fi
}

/* ==== what a region does ==== */

#ifdef BUG_FAILED_TAKEOVER_NOT_LOOKED_UP
#define LOOKED_UP 0 /* no answer counts as no: the store names a holder that does not know it */
#else
#define LOOKED_UP 1
#endif

/* The region reads the item, and times it from the arrival of the answer (lease.md 4.1). */
inline read_item(r, wait) {
  if
  :: !current[r] ->
       current[r] = 1; watch[r] = wait; claiming[r] = 0;
       know(r, item_epoch);
       if
       :: item_holder == r && !item_released && item_epoch > ended[r] ->
            if
#ifdef BUG_ADOPTED_BY_READING
            :: reign[r] == 0 -> reign[r] = item_epoch
#else
            :: reign[r] == 0 && item_this_run && LOOKED_UP -> reign[r] = item_epoch; /* the claim, or the adoption, had been ours */
#ifdef REACH_LOST_ANSWER
                 assert(0);
#endif
#endif
            :: else
            fi;
            if
            :: reign[r] == item_epoch -> set[r] = item_set; plus[r] = plus[r] & ~item_set
            :: else
            fi;
            watch[r] = 0 /* the holder waits for nobody */
       :: else
       fi;
       if :: !HAS(item_set, r) -> watch[r] = 0 :: else fi;
       /* The end of the epoch, learned from the store: promises to it, an earlier run's among them, bind nobody any more. */
       if :: item_released -> promise[r] = 0; startup[r] = 0 :: else fi
  :: else
  fi
}

#ifdef EARLIER_ROUNDS_SAY_NOTHING
#define NEEDED_LEFT(r) permit[r]
#else
#define NEEDED_LEFT(r) 0
#endif

#ifdef BUG_WRITABLE_PROMISES
#define IN_RECOVERY(c) 1
#else
#define IN_RECOVERY(c) (!primary[c])
#endif
#ifdef BUG_PROMISES_WHILE_CLAIMING
#define NO_TAKEOVER(c) 1
#else
#define NO_TAKEOVER(c) (!claiming[c])
#endif

/* Candidate c answers a question of region s (lease.md 3). */
inline answer_question(s, c) {
  if
  :: ask_epoch[PAIR(s, c)] >= known[c] && startup[c] == 0 && IN_RECOVERY(c) && NO_TAKEOVER(c) ->
       know(c, ask_epoch[PAIR(s, c)]);
       promise[c] = PROMISE_FOR;
       if
       :: ask_left[PAIR(s, c)] > NEEDED_LEFT(s) -> ask[PAIR(s, c)] = answer
       :: else -> forget_ask(PAIR(s, c))
       fi
  :: else -> forget_ask(PAIR(s, c)) /* refused */
  fi
}

/* The answer of c arrives at s: all candidates in one round carry the lease, an empty set never does (lease.md 2.2). */
inline take_promise(s, c) {
  if
  :: reign[s] > 0 && ask_epoch[PAIR(s, c)] == reign[s] && reign[s] > ended[s] ->
       j = ask_left[PAIR(s, c)];
#ifdef BUG_ANSWERS_WITHOUT_T0
       j = round[s]; /* matched to the newest question */
#endif
       j = (j > SHORTER -> j - SHORTER : 0);
#ifdef BUG_DEADLINE_FROM_THE_ANSWER
       j = OPEN_FOR - SHORTER;
#endif
       if
       :: j > 0 && j > NEEDED_LEFT(s) ->
            got[ROUND(s, j)] = got[ROUND(s, j)] | BIT_OF(c);
            if
#ifdef BUG_ROUNDS_MIXED
            :: ((got[ROUND(s, 1)] | got[ROUND(s, 2)]) & (set[s] | plus[s])) == (set[s] | plus[s]) ->
#else
#ifdef BUG_MEMBERSHIP_FROM_FILES
            :: (got[ROUND(s, j)] & 2) == 2 -> /* the file of this region does not know region 2 */
#else
            :: set[s] != 0 && (got[ROUND(s, j)] & (set[s] | plus[s])) == (set[s] | plus[s]) ->
#endif
#endif
#ifdef REACH_CARRIED_BY_PROMISES
                 assert(0);
#endif
                 open_until(s, j)
            :: else
            fi
       :: else
       fi
  :: else
  fi;
  forget_ask(PAIR(s, c)); j = 0
}

/* The store's answer arrives (lease.md 2.2, and 5: an answer of an ended epoch says nothing any more). */
inline take_answer(r) {
  if
  :: txn[r] == renew || txn[r] == member ->
       if
       :: reign[r] == 0 && txn_same[r] && txn_epoch[r] == known[r] && txn_epoch[r] > ended[r] -> /* the adoption */
            reign[r] = txn_epoch[r]; set[r] = item_set;
#ifdef REACH_ADOPTED
            assert(0);
#endif
       :: else
       fi;
       if
#ifdef BUG_RELEASE_NOT_TERMINAL
       :: txn_epoch[r] == known[r] ->
#else
       :: reign[r] > 0 && txn_epoch[r] == reign[r] && reign[r] > ended[r] ->
#endif
#ifdef BUG_DEADLINE_FROM_THE_ANSWER
            open_until(r, OPEN_FOR);
#else
            open_until(r, txn_left[r]);
#endif
            if :: txn_same[r] -> current[r] = 1; watch[r] = 0 :: else fi;
            if :: txn[r] == member -> set[r] = txn_set[r]; plus[r] = 0 :: else fi
       :: else
       fi
  :: txn[r] == claim ->
       claiming[r] = 0;
       if
       :: txn_epoch[r] >= known[r] && txn_epoch[r] > ended[r] ->
            know(r, txn_epoch[r]);
            reign[r] = txn_epoch[r]; set[r] = txn_set[r]; plus[r] = 0;
            permit[r] = txn_left[r]; /* a claim, not yet a takeover: the database is still a standby */
            if :: txn_same[r] -> current[r] = 1; watch[r] = 0 :: else fi;
            ONE_WRITER
       :: else
       fi
  :: else -> /* release */
       if :: txn_same[r] -> current[r] = 1; watch[r] = 0 :: else fi
  fi;
  forget_txn(r)
}

/* A transaction whose fate is open may be given up for a new one, as after a timeout; a claim only after a look (4.2). */
#define FREE(r) (txn[r] == nothing || txn_done[r] || (txn[r] != claim && txn_left[r] < OPEN_FOR))

/* Lease.md 4.1. The heir of a released epoch need not wait. */
#define WAITED(r) (watch[r] == 0 || (item_released && item_heir == r))
#ifdef BUG_PROMISE_IGNORED_BY_CLAIM
#define UNBOUND(r) 1
#else
#define UNBOUND(r) (promise[r] == 0)
#endif
#ifdef BUG_NO_SECOND_LOOK
#define SECOND_LOOK(r) 1
#else
#define SECOND_LOOK(r) (promise[r] == 0 && startup[r] == 0)
#endif
#ifdef BUG_NO_START_UP_WAIT
#define STARTED 0
#else
#define STARTED PROMISE_FOR
#endif

#define ASKABLE(s, c) (ask[PAIR(s, c)] != question || ask_left[PAIR(s, c)] < OPEN_FOR)

proctype Region(byte me) {
  byte other, third;
  d_step { other = (me + 1) % 3; third = (me + 2) % 3 };
  do
  /* 4.1 It reads the item. A store that knows less than the own record is an old copy, and is refused (1). */
#ifdef BUG_STORE_REGRESS_ACCEPTED
  :: d_step { !current[me] && reign[me] == 0 && !primary[me] ->
       if :: item_epoch < known[me] -> known[me] = item_epoch; read_item(me, 0) :: else -> read_item(me, WATCH_FOR) fi }
  :: d_step { !current[me] && (reign[me] > 0 || primary[me]) ->
       if :: item_epoch < known[me] -> known[me] = item_epoch; lay_down(me) :: else fi; read_item(me, WATCH_FOR) }
#else
#ifdef BUG_COUNTER_TIMED_FROM_THE_QUESTION
  :: d_step { !current[me] && asked_store[me] == 0 -> asked_store[me] = 1 + WATCH_FOR }
  :: d_step { !current[me] && asked_store[me] > 0 && item_epoch >= known[me] ->
       read_item(me, asked_store[me] - 1); asked_store[me] = 0 }
#else
  :: d_step { !current[me] && item_epoch >= known[me] -> read_item(me, WATCH_FOR) }
#endif
#endif

  /* 2.1 The round: it asks each candidate for a promise… */
  :: d_step { reign[me] > ended[me] && HAS(set[me] | plus[me], other) && ASKABLE(me, other) ->
       ask[PAIR(me, other)] = question; ask_epoch[PAIR(me, other)] = reign[me]; ask_left[PAIR(me, other)] = OPEN_FOR
#ifdef BUG_ANSWERS_WITHOUT_T0
       ; round[me] = OPEN_FOR
#endif
     }
  :: d_step { reign[me] > ended[me] && HAS(set[me] | plus[me], third) && ASKABLE(me, third) ->
       ask[PAIR(me, third)] = question; ask_epoch[PAIR(me, third)] = reign[me]; ask_left[PAIR(me, third)] = OPEN_FOR
#ifdef BUG_ANSWERS_WITHOUT_T0
       ; round[me] = OPEN_FOR
#endif
     }
#ifdef BUG_ANSWERS_WITHOUT_T0
  /* A round whose questions are lost. */
  :: d_step { reign[me] > ended[me] && set[me] != 0 && round[me] < OPEN_FOR -> round[me] = OPEN_FOR }
#endif
  /* …and the store to extend: it compares the whole item. */
  :: d_step { reign[me] > ended[me] && current[me] && FREE(me) && item_holder == me && !item_released ->
       send(me, renew, reign[me]) }

  :: d_step { ask[PAIR(me, other)] == answer -> take_promise(me, other) }
  :: d_step { ask[PAIR(me, third)] == answer -> take_promise(me, third) }
  :: d_step { ask[PAIR(other, me)] == question -> answer_question(other, me) }
  :: d_step { ask[PAIR(third, me)] == question -> answer_question(third, me) }
  :: d_step { txn_done[me] -> take_answer(me) }
#ifdef LATE
  :: d_step { late_left[me] > 0 ->
       if
#ifdef BUG_RELEASE_NOT_TERMINAL
       :: late_epoch[me] == known[me] -> open_until(me, late_left[me])
#else
       :: reign[me] > ended[me] && late_epoch[me] == reign[me] -> open_until(me, late_left[me])
#endif
       :: else
       fi;
       late_left[me] = 0; late_epoch[me] = 0 }
#endif

  /* 4.1, 4.2 The claim: own promise over, the item stood still for long enough, the start-up wait over. */
  :: d_step { current[me] && HAS(item_set, me) && item_holder != me && item_epoch >= known[me] && item_epoch < EPOCHS &&
              WAITED(me) && UNBOUND(me) && startup[me] == 0 && !claiming[me] && FREE(me) && !primary[me] ->
#ifdef REACH_HEIR_NEED_NOT_WAIT
       assert(watch[me] == 0);
#endif
       send(me, claim, item_epoch + 1);
       txn_set[me] = item_set & ~BIT_OF(me) & ~BIT_OF(item_holder);
       claiming[me] = 1; watch[me] = 0 }

  /* 4.3 The claim is not yet a takeover: everything is looked at again at the moment of the promotion. */
  :: d_step { reign[me] > ended[me] && !primary[me] && permit[me] > 0 && SECOND_LOOK(me) ->
#ifdef REACH_TAKEOVER
       assert(reign[me] < 2);
#endif
#ifdef REACH_SECOND_TAKEOVER
       assert(reign[me] < 3);
#endif
#ifdef REACH_ADDED_TAKES_OVER
       assert(me != 2);
#endif
       primary[me] = 1; ONE_WRITER }

#ifdef RELEASE
  /* 5 Release: the gate is closed and no process is left, the word is durable, nothing is renewed from here on… */
  :: d_step { reign[me] > ended[me] && primary[me] && permit[me] > 0 && set[me] != 0 ->
       ended[me] = reign[me];
#ifndef BUG_DEAD_BY_POSTMASTER_ONLY
       permit[me] = 0;
#endif
       lay_down(me) }
  /* …and only then the item says so. Candidates learn it from there only. */
  :: d_step { ended[me] > 0 && current[me] && item_holder == me && !item_released && item_epoch == ended[me] && item_set != 0 &&
              FREE(me) ->
       send(me, release, item_epoch);
#ifdef BUG_RELEASE_TOLD_DIRECTLY
       notice[1] = HAS(item_set, 1); notice[2] = HAS(item_set, 2);
#endif
     }
#ifdef BUG_RELEASE_TOLD_DIRECTLY
  :: d_step { notice[me] -> notice[me] = 0; promise[me] = 0 }
#endif
  /* An heir that does not come: the region goes on under the next epoch, by a claim of its own. */
  :: d_step { current[me] && item_holder == me && item_released && item_epoch < EPOCHS && !claiming[me] && FREE(me) &&
              promise[me] == 0 && startup[me] == 0 ->
#ifdef REACH_RELEASED_AND_WENT_ON
       assert(0);
#endif
       send(me, claim, item_epoch + 1);
       txn_set[me] = item_set; claiming[me] = 1 }
#endif

#ifdef MEMBERSHIP
  /* 5 Adding: the newcomer is asked in every round first, then one transaction adds it… */
  :: d_step { CHANGEABLE(me) && !HAS(set[me], other) && !primary[other] && reign[other] == 0 ->
       changes--; send(me, member, reign[me]); txn_set[me] = set[me] | BIT_OF(other);
#ifndef BUG_ADDED_BEFORE_IT_IS_ASKED
       plus[me] = BIT_OF(other)
#endif
     }
  :: d_step { CHANGEABLE(me) && !HAS(set[me], third) && !primary[third] && reign[third] == 0 ->
       changes--; send(me, member, reign[me]); txn_set[me] = set[me] | BIT_OF(third);
#ifndef BUG_ADDED_BEFORE_IT_IS_ASKED
       plus[me] = BIT_OF(third)
#endif
     }
  /* …removing: the transaction first, then the asking stops. */
  :: d_step { CHANGEABLE(me) && HAS(set[me], other) ->
       changes--; send(me, member, reign[me]); txn_set[me] = set[me] & ~BIT_OF(other);
#ifdef BUG_REMOVAL_BEFORE_THE_TRANSACTION
       set[me] = txn_set[me]
#endif
     }
  /* A rejoin: the old primary's region becomes a standby again; its gate is closed for good. */
  :: d_step { primary[me] && permit[me] == 0 && reign[me] == 0 && item_holder != me && current[me] && !HAS(item_set, me) ->
       primary[me] = 0 }
#endif

#if CRASHES > 0
  /* The agent dies and a new run begins: the record stays, the database and the guard stay, all else is forgotten. A
     transaction can still be on its way; answers to the old run are answers to nobody (2.2: agent and t0 are echoed). */
  :: d_step { crashes > 0 && HAS(CRASHING, me) ->
       crashes--;
       lay_down(me); current[me] = 0; watch[me] = 0; promise[me] = 0; claiming[me] = 0;
       startup[me] = STARTED;
#ifdef BUG_EPOCH_NOT_DURABLE
       known[me] = 1;
#endif
       if :: txn_done[me] -> forget_txn(me) :: txn[me] != nothing && !txn_done[me] -> txn_old[me] = 1 :: else fi;
#ifdef LATE
       late_left[me] = 0; late_epoch[me] = 0;
#endif
       forget_ask(PAIR(me, other)); forget_ask(PAIR(me, third));
       if :: item_holder == me -> item_this_run = 0 :: else fi }
  /* A new run adopts the lease of an earlier one by a transaction, never by reading alone. */
  :: d_step { reign[me] == 0 && current[me] && item_holder == me && !item_released && item_epoch > ended[me] &&
              item_epoch >= known[me] && !claiming[me] && FREE(me) ->
       send(me, renew, item_epoch) }
#endif
  od
}

#ifdef UNKNOWING
#define TOLD 1
#else
#define TOLD (known[0] == item_epoch && known[1] == item_epoch && known[2] == item_epoch)
#endif

/* The store applies a transaction that was sent on the item as it stands. */
inline apply(r) {
  if
  :: txn[r] == renew ->
#ifdef BUG_EXTENSION_COMPARES_NOTHING
       if :: item_holder == r && item_epoch == txn_epoch[r] -> item_changed(r); item_this_run = !txn_old[r] :: else fi
#else
       item_changed(r); item_this_run = !txn_old[r]
#endif
  :: txn[r] == member -> item_changed(r); item_set = txn_set[r]; item_this_run = !txn_old[r]
  :: txn[r] == release -> item_changed(r); item_released = 1; item_heir = (HAS(item_set, 1) && r != 1 -> 1 : 2)
  :: else -> item_changed(r); /* claim */
       item_epoch = txn_epoch[r]; item_holder = r; item_set = txn_set[r]; item_released = 0; item_heir = 0;
       item_this_run = !txn_old[r]
  fi;
  if
  :: txn_old[r] -> forget_txn(r)
  :: else -> txn_done[r] = 1; txn_same[r] = 1
  fi
}

proctype Store() {
  do
  :: d_step { txn[0] != nothing && !txn_done[0] -> apply(0) }
  :: d_step { txn[1] != nothing && !txn_done[1] -> apply(1) }
  :: d_step { txn[2] != nothing && !txn_done[2] -> apply(2) }
#ifdef STORE_RESTART
  /* A restart: a new incarnation, which is compared too. The store kept no time, so nothing of it is lost. */
  :: d_step { !restarted ->
#ifdef BUG_STORE_TIMERS_LOST
       watch[1] = 0; watch[2] = 0; /* the store says that no live lease is known */
#else
       item_changed(3);
#endif
       restarted = 1 }
#endif
#ifdef STORE_RESTORE
  /* An old copy is restored: the item of epoch 1. Every region knows more than that, unless UNKNOWING says otherwise. */
  :: d_step { !restored && item_epoch > 1 && TOLD -> restored = 1; item_changed(3);
       item_epoch = 1; item_holder = 0; item_set = FIRST_SET; item_released = 0; item_heir = 0; item_this_run = 0 }
#endif
  od
}

#define DOWN(x) x = (x > 0 -> x - 1 : 0)

proctype Time() {
  do
  :: d_step {
       for (i : 0 .. 2) {
         DOWN(permit[i]); DOWN(promise[i]); DOWN(watch[i]); DOWN(startup[i]); DOWN(txn_left[i]);
#ifdef LATE
         DOWN(late_left[i]);
         if :: late_left[i] == 0 -> late_epoch[i] = 0 :: else fi;
#endif
#ifdef BUG_ANSWERS_WITHOUT_T0
         DOWN(round[i]);
#endif
#ifdef BUG_COUNTER_TIMED_FROM_THE_QUESTION
         if :: asked_store[i] > 1 -> asked_store[i]-- :: else fi;
#endif
         for (j : 0 .. TICKS - 2) { got[ROUND(i, j)] = (j > 0 -> got[ROUND(i, j + 1)] : 0) }
         got[ROUND(i, TICKS - 1)] = 0
       }
       for (i : 0 .. 8) {
         DOWN(ask_left[i]);
#ifdef EARLIER_ROUNDS_SAY_NOTHING
         /* A question this late binds its candidate and gives the holder nothing: it only takes behaviours away. */
         if :: ask_left[i] == 0 -> forget_ask(i) :: else fi
#endif
       }
       i = 0; j = 0
     }
  od
}

init {
  d_step {
    primary[0] = 1; reign[0] = 1; set[0] = FIRST_SET; permit[0] = 0;
    watch[1] = WATCH_FOR; watch[2] = WATCH_FOR
  };
  atomic { run Region(0); run Region(1); run Region(2); run Store(); run Time() }
}
