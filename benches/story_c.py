#!/usr/bin/env python3
"""story_c.py --rows N: the state of the overwritten research database, out of the yardstick's backup.

Nine tenths of `events` as they were (`backup.sqlite`), live with 5,000 of them left (`live.sqlite`), and the folder that
a pandas script left: `backups/<database>/<timestamp>/parquet/events.parquet`, gzip, typed timestamps and decimals,
nullable integers as floats and an extra index column."""
import argparse
import os
import shutil
import sqlite3

import pandas as pd

options = argparse.ArgumentParser()
options.add_argument("--rows", type=int, required=True)
rows = options.parse_args().rows
source = f"{os.environ['WORK']}/data/{rows}"
made = f"{source}/story-c"
draft = f"{made}.draft"
shutil.rmtree(draft, ignore_errors=True)
folder = f"{draft}/backups/live/2024-05-29-09:14:42/parquet"
os.makedirs(folder)
total, left = rows * 9 // 10, 5_000
for name, count in (("backup", total), ("live", left)):
    database = sqlite3.connect(f"{draft}/{name}.sqlite")
    database.execute(f"attach '{source}/backup.sqlite' as source")
    database.execute(database.execute("select sql from source.sqlite_schema where name = 'events'").fetchone()[0])
    database.execute(f"insert into events select * from source.events order by id limit {count}")
    database.commit()
    database.close()
events = pd.read_parquet(f"{source}/backup/events.parquet").head(total).reset_index()
events["calendar_id"] = events["calendar_id"].astype("float64")
events.to_parquet(f"{folder}/events.parquet", compression="gzip", index=False)
os.rename(draft, made)
