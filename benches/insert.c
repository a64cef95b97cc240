/* The floor of writing: rows of a table into another database through one prepared INSERT, in one transaction.
 *
 *   insert TARGET SOURCE TABLE
 *
 * Copies the rows of SOURCE's table that TARGET's lacks (by rowid). They are held in memory first, so that only the
 * writing is timed: the seconds of wall and of CPU from BEGIN to the end of COMMIT go to stdout. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "sqlite3.h"

static void check(sqlite3 *db, int code) {
    if (code != SQLITE_OK && code != SQLITE_DONE && code != SQLITE_ROW) {
        fprintf(stderr, "error: %s\n", sqlite3_errmsg(db));
        exit(1);
    }
}

static double seconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int count, char **words) {
    sqlite3 *db;
    sqlite3_stmt *read, *write;
    if (count != 4) return 2;
    check(NULL, sqlite3_open_v2(words[1], &db, SQLITE_OPEN_READWRITE, NULL));
    char *sql = sqlite3_mprintf("attach %Q as source", words[2]);
    check(db, sqlite3_exec(db, sql, NULL, NULL, NULL));
    sql = sqlite3_mprintf("select * from source.\"%w\" where rowid not in (select rowid from main.\"%w\")", words[3], words[3]);
    check(db, sqlite3_prepare_v2(db, sql, -1, &read, NULL));
    int columns = sqlite3_column_count(read), step;
    size_t rows = 0, room = 0;
    sqlite3_value **cells = NULL;
    while ((step = sqlite3_step(read)) == SQLITE_ROW) {
        if (rows == room) cells = realloc(cells, (room = room ? 2 * room : 1024) * columns * sizeof *cells);
        if (!cells) return 1;
        for (int c = 0; c < columns; c++) cells[rows * columns + c] = sqlite3_value_dup(sqlite3_column_value(read, c));
        rows++;
    }
    check(db, step);
    sqlite3_finalize(read);
    sqlite3_str *text = sqlite3_str_new(db);
    sqlite3_str_appendf(text, "insert into main.\"%w\" values (?", words[3]);
    for (int c = 1; c < columns; c++) sqlite3_str_appendall(text, ", ?");
    sqlite3_str_appendall(text, ")");
    check(db, sqlite3_prepare_v2(db, sqlite3_str_finish(text), -1, &write, NULL));

    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    check(db, sqlite3_exec(db, "begin immediate", NULL, NULL, NULL));
    for (size_t row = 0; row < rows; row++) {
        for (int c = 0; c < columns; c++) check(db, sqlite3_bind_value(write, c + 1, cells[row * columns + c]));
        check(db, sqlite3_step(write));
        check(db, sqlite3_reset(write));
    }
    check(db, sqlite3_exec(db, "commit", NULL, NULL, NULL));
    printf("%.4f %.4f\n", seconds(CLOCK_MONOTONIC) - wall, seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    return 0;
}
