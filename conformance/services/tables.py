"""A pod writes and reads a table in PostgreSQL, as libpq finds it in the environment."""
import psycopg

with psycopg.connect() as connection:
    connection.execute("DROP TABLE IF EXISTS runs")
    connection.execute("CREATE TABLE runs (name text PRIMARY KEY, accuracy double precision)")
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO runs VALUES (%s, %s)", [("first", 0.91), ("second", 0.98)])
# Another connection sees what was committed.
with psycopg.connect() as connection:
    found = connection.execute("SELECT name, accuracy FROM runs ORDER BY accuracy DESC").fetchall()
    assert found == [("second", 0.98), ("first", 0.91)], found
    (version,) = connection.execute("SHOW server_version").fetchone()
print("PostgreSQL", version, "has", found)

try:
    psycopg.connect(password="wrong")
except psycopg.OperationalError as error:
    assert "password authentication failed" in str(error), error
else:
    raise AssertionError("a wrong password is let in")
