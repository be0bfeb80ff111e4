"""The usual tutorial: Flask, a connection to SQLite for each request, one commit a hop; eight threads.

python -m tests.bench.peers.flask_sqlite PORT FILE
"""

from __future__ import annotations

import logging
import sqlite3
import sys

from flask import Flask, request
from waitress import serve

app = Flask(__name__)
FILE = sys.argv[2]

SCREENS = {
    "home": "CON Bijli Seva\n1 Naya connection\n2 Naam transfer\n3 Meter kharab\n4 Bijli katwana\n5 Transformer\n6 Bill",
    "account": "CON Kaun sa connection?\n1 Ghar\n2 Dukan",
    "kind": "CON Kya kharabi hai?\n1 Band hai\n2 Jal gaya\n3 Display nahi",
    "reading": "CON Reading likhiye",
    "done": "END Aapki shikayat darj ho gayi.",
}
AFTER = {"home": "account", "account": "kind", "kind": "reading", "reading": "done"}


def connect() -> sqlite3.Connection:
    connection = sqlite3.connect(FILE, timeout=10)
    connection.row_factory = sqlite3.Row
    return connection


@app.route("/ussd", methods=["POST"])
def ussd() -> str:
    session_id, phone, text = request.form["sessionId"], request.form["phoneNumber"], request.form.get("text", "")
    said = text.split("*")[-1]
    connection = connect()
    row = connection.execute("SELECT * FROM sessions WHERE session_id = ?", (session_id,)).fetchone()
    if row is None or not text:
        screen = "home"
        connection.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, '')", (session_id, phone, screen))
    else:
        screen = AFTER.get(row["screen"], "done")
        connection.execute(
            "UPDATE sessions SET screen = ?, answers = answers || ? WHERE session_id = ?", (screen, f"{said};", session_id)
        )
        if screen == "done":
            connection.execute("INSERT INTO complaints (phone, answers) VALUES (?, ?)", (phone, row["answers"]))
    connection.execute("INSERT INTO log (session_id, text, screen) VALUES (?, ?, ?)", (session_id, text, screen))
    connection.commit()
    connection.close()
    return SCREENS[screen]


if __name__ == "__main__":
    with connect() as tables:
        tables.execute("CREATE TABLE sessions (session_id TEXT PRIMARY KEY, phone TEXT, screen TEXT, answers TEXT)")
        tables.execute("CREATE TABLE complaints (id INTEGER PRIMARY KEY, phone TEXT, answers TEXT)")
        tables.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, session_id TEXT, text TEXT, screen TEXT)")
    logging.getLogger("waitress").setLevel(logging.ERROR)  # that requests wait is what is measured
    serve(app, host="127.0.0.1", port=int(sys.argv[1]), threads=8)
