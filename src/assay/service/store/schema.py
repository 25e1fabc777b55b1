"""The tables of the screening service, for SQLite and PostgreSQL alike.

Times are seconds since 1970 (UTC), plain values are JSON in text, so that both databases hold the same. What may stand
only once is said by the database itself: ``one_live_decision`` makes a second live verdict of a photo impossible.
"""

from __future__ import annotations

import sqlalchemy as sql

META = sql.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
ID = sql.String(40)
DIGEST = sql.String(64)
NAME = sql.String(200)
TIME = sql.Double


PHOTOS = sql.Table(
    "photos",
    META,
    sql.Column("id", ID, primary_key=True),
    sql.Column("sha256", DIGEST, nullable=False, index=True),
    sql.Column("bytes", sql.BigInteger, nullable=False),
    sql.Column("sender", NAME, nullable=False),
    sql.Column("name", NAME, nullable=False),
    sql.Column("item", NAME, nullable=False),  # what the sender says it is; empty where nothing was said
    sql.Column("key_id", ID, nullable=False),
    sql.Column("received_at", TIME, nullable=False, index=True),
    sql.Column("erased_at", TIME),
)
"""One row an accepted upload. Its bytes lie in the object store under ``sha256``."""

JOBS = sql.Table(
    "jobs",
    META,
    sql.Column("photo_id", ID, primary_key=True),
    sql.Column("owner", ID, nullable=False),  # empty where nobody works on it
    sql.Column("lease_until", TIME, nullable=False),
    sql.Column("tries", sql.Integer, nullable=False),
    sql.Column("created_at", TIME, nullable=False),
    sql.Index("ix_jobs_free", "lease_until", "created_at"),
)
"""Photos that the machine has not decided yet; the row goes in the transaction that brings the decision."""

DECISIONS = sql.Table(
    "decisions",
    META,
    sql.Column("id", ID, primary_key=True),
    sql.Column("photo_id", ID, nullable=False, index=True),
    sql.Column("live", sql.Boolean, nullable=False),
    sql.Column("verdict", sql.String(16), nullable=False),
    sql.Column("clause", NAME, nullable=False),
    sql.Column("automatic", sql.Boolean, nullable=False),
    sql.Column("audited", sql.Boolean, nullable=False),
    sql.Column("kind", NAME, nullable=False),  # the class of the promise; empty where nothing was proposed
    sql.Column("decided_by", ID, nullable=False),  # "machine", or the key of a person
    sql.Column("policy", DIGEST, nullable=False),
    sql.Column("thresholds", DIGEST, nullable=False),
    sql.Column("body", sql.Text, nullable=False),  # Decision.to_dict, or a person's answer
    sql.Column("at", TIME, nullable=False, index=True),
    sql.Column("seq", sql.BigInteger, nullable=False),  # its entry in the record
)
sql.Index(
    "one_live_decision",
    DECISIONS.c.photo_id,
    unique=True,
    sqlite_where=DECISIONS.c.live,
    postgresql_where=DECISIONS.c.live,
)

RECORD = sql.Table(
    "record",
    META,
    sql.Column("seq", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("at", TIME, nullable=False),
    sql.Column("kind", sql.String(32), nullable=False),
    sql.Column("subject", ID, nullable=False, index=True),
    sql.Column("body", sql.Text, nullable=False),
    sql.Column("previous", DIGEST, nullable=False),
    sql.Column("mac", DIGEST, nullable=False),
)
"""The append-only chain; see ``record``."""

TASKS = sql.Table(
    "tasks",
    META,
    sql.Column("id", ID, primary_key=True),
    sql.Column("photo_id", ID, nullable=False, index=True),
    sql.Column("why", sql.String(16), nullable=False),  # review, audit, double, appeal
    sql.Column("blind", sql.Boolean, nullable=False),
    sql.Column("state", sql.String(8), nullable=False),  # open, held, done
    sql.Column("value", sql.Double, nullable=False),  # what a look is worth; more comes first
    sql.Column("alike", DIGEST, nullable=False),  # photos with the same one are one job
    sql.Column("leased_by", ID, nullable=False),
    sql.Column("lease_until", TIME, nullable=False),
    sql.Column("not_by", ID, nullable=False),  # who must not answer it; empty where anybody may
    sql.Column("created_at", TIME, nullable=False),
    sql.Index("ix_tasks_state_value", "state", "value"),
    sql.Index("ix_tasks_alike", "alike", "state"),
)
"""Looks by people that are wanted. ``held``: answered, and still to be taken back (see ``reviews``)."""

ANSWERS = sql.Table(
    "answers",
    META,
    sql.Column("id", ID, primary_key=True),
    sql.Column("task_id", ID, nullable=False, index=True),
    sql.Column("photo_id", ID, nullable=False, index=True),
    sql.Column("reviewer", ID, nullable=False),
    sql.Column("verdict", sql.String(16), nullable=False),
    sql.Column("clause", NAME, nullable=False),
    sql.Column("truth", sql.Text, nullable=False),  # question -> right answer
    sql.Column("fake", sql.Boolean, nullable=False),  # a confirmed fake: its copies are known from now on
    sql.Column("note", sql.Text, nullable=False),
    sql.Column("machine", sql.String(16), nullable=False),  # the machine's verdict at that time
    sql.Column("at", TIME, nullable=False),
    sql.Column("final_at", TIME, nullable=False),  # from when on it can no longer be taken back
    sql.Column("state", sql.String(8), nullable=False),  # held, undone, final
    sql.Column("seconds", sql.Double, nullable=False),  # from the lease to the answer
    sql.Index("ix_answers_state_final", "state", "final_at"),
)

APPEALS = sql.Table(
    "appeals",
    META,
    sql.Column("id", ID, primary_key=True),
    sql.Column("photo_id", ID, nullable=False, index=True),
    sql.Column("decision_id", ID, nullable=False, unique=True),
    sql.Column("text", sql.Text, nullable=False),
    sql.Column("state", sql.String(8), nullable=False),  # open, upheld, changed
    sql.Column("at", TIME, nullable=False),
    sql.Column("answered_at", TIME),
)

KEYS = sql.Table(
    "keys",
    META,
    sql.Column("id", ID, primary_key=True),
    sql.Column("name", NAME, nullable=False),
    sql.Column("hash", DIGEST, nullable=False),
    sql.Column("scopes", NAME, nullable=False),
    sql.Column("per_minute", sql.Integer, nullable=False),  # 0: no quota
    sql.Column("created_at", TIME, nullable=False),
    sql.Column("revoked_at", TIME),
)

REPEATS = sql.Table(
    "repeats",
    META,
    sql.Column("key_id", ID, primary_key=True),
    sql.Column("token", NAME, primary_key=True),  # the Idempotency-Key
    sql.Column("digest", DIGEST, nullable=False),  # of what was asked for
    sql.Column("photo_id", ID, nullable=False),
    sql.Column("at", TIME, nullable=False, index=True),
)

HOOKS = sql.Table(
    "hooks",
    META,
    sql.Column("id", ID, primary_key=True),
    sql.Column("url", sql.Text, nullable=False),
    sql.Column("secret", sql.Text, nullable=False),
    sql.Column("created_at", TIME, nullable=False),
    sql.Column("stopped_at", TIME),
)

OUTBOX = sql.Table(
    "outbox",
    META,
    sql.Column("id", ID, primary_key=True),
    sql.Column("hook_id", ID, nullable=False, index=True),
    sql.Column("body", sql.Text, nullable=False),
    sql.Column("tries", sql.Integer, nullable=False),
    sql.Column("next_at", TIME, nullable=False, index=True),
    sql.Column("created_at", TIME, nullable=False),
    sql.Column("failure", sql.Text, nullable=False),
    sql.Column("state", sql.String(8), nullable=False),  # waiting, sent, given up
)

REFERENCES = sql.Table(
    "reference_photos",
    META,
    sql.Column("sha256", DIGEST, primary_key=True),
    sql.Column("list", sql.String(8), primary_key=True),  # fake, genuine
    sql.Column("item", NAME, nullable=False),
    sql.Column("prints", sql.LargeBinary, nullable=False),
    sql.Column("photo_id", ID, nullable=False),
    sql.Column("added_by", ID, nullable=False),
    sql.Column("at", TIME, nullable=False, index=True),
    sql.Column("removed_at", TIME),
)
"""What reviewers have confirmed, beside what `assay enrol` put into the policy's file."""

PRINTS = sql.Table(
    "photo_prints",
    META,
    sql.Column("photo_id", ID, primary_key=True),
    sql.Column("prints", sql.LargeBinary, nullable=False),
)
"""Of each decided photo, so that copies of a fake that is confirmed later can be found."""

VERSIONS = sql.Table(
    "versions",
    META,
    sql.Column("id", ID, primary_key=True),
    sql.Column("policy", DIGEST, nullable=False),
    sql.Column("thresholds", DIGEST, nullable=False),
    sql.Column("name", NAME, nullable=False),
    sql.Column("version", NAME, nullable=False),
    sql.Column("path", sql.Text, nullable=False),
    sql.Column("text", sql.Text, nullable=False),
    sql.Column("budgets", sql.Text, nullable=False),
    sql.Column("models", sql.Text, nullable=False),
    sql.Column("from_at", TIME, nullable=False, index=True),
    sql.Column("until_at", TIME),
)
"""Each policy that was live, with its thresholds and networks; ``until_at`` is empty for the one that is."""

WATCHES = sql.Table(
    "watches",
    META,
    sql.Column("thresholds", DIGEST, primary_key=True),
    sql.Column("state", sql.Text, nullable=False),  # decide.monitor's, as JSON
    sql.Column("at", TIME, nullable=False),
)
"""What the audits say of the promises of one set of thresholds."""

SHADOWS = sql.Table(
    "shadows",
    META,
    sql.Column("photo_id", ID, primary_key=True),
    sql.Column("policy", DIGEST, primary_key=True),
    sql.Column("thresholds", DIGEST, nullable=False),
    sql.Column("verdict", sql.String(16), nullable=False),
    sql.Column("clause", NAME, nullable=False),
    sql.Column("at", TIME, nullable=False, index=True),
)
"""What a candidate policy would have decided; nobody is told, and nothing follows from it."""
