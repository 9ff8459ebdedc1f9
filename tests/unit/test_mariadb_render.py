"""MariaDB's files: sized for Postal, no secret in them, reachable only where declared."""

import configparser
from typing import Any

import pytest
import yaml

from mailstack.postal.mariadb import render_cnf, render_compose, rights, sql_text

SETTINGS: dict[str, Any] = {
    "image": "docker.io/library/mariadb:10.11",
    "network": "mailstack",
    "listen": None,
    "port": 3306,
    "memory_mb": 1024,
    "max_message_mb": 14,
    "databases": {"main": "postal", "prefix": "postal"},
    "username": "postal",
}


def options(**changed: Any) -> dict[str, str]:
    parser = configparser.ConfigParser(allow_no_value=True)
    parser.read_string(render_cnf({**SETTINGS, **changed}))
    return {key: str(value) for key, value in parser["mariadbd"].items()}


def megabytes(value: str) -> int:
    return int(value.removesuffix("M"))


@pytest.mark.parametrize("size", [1, 14, 25, 50, 100])
def test_the_redo_log_holds_ten_of_the_largest_messages_and_a_packet_holds_one(size: int) -> None:
    found = options(max_message_mb=size)
    assert megabytes(found["innodb_log_file_size"]) >= 10 * size
    assert megabytes(found["max_allowed_packet"]) >= 2 * size


def test_the_buffer_pool_leaves_room_within_the_memory_limit() -> None:
    assert megabytes(options(memory_mb=4096)["innodb_buffer_pool_size"]) == 2048


def test_no_binary_log_fills_the_disk_and_text_is_utf8mb4() -> None:
    found = options()
    assert "skip-log-bin" in found
    assert found["character-set-server"] == "utf8mb4"


def server(**changed: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(render_compose({**SETTINGS, **changed}))["services"]["mariadb"]
    return found


def test_nothing_is_published_unless_an_address_is_declared() -> None:
    assert "ports" not in server()
    assert server(listen="10.0.0.5")["ports"] == ["10.0.0.5:3306:3306"]
    assert server(listen="fd00::5", port=3307)["ports"] == ["[fd00::5]:3307:3306"]


def test_passwords_are_files_that_no_inspection_shows() -> None:
    environment = server()["environment"]
    assert {name for name in environment if "PASSWORD" in name} == {
        "MARIADB_ROOT_PASSWORD_FILE",
        "MARIADB_PASSWORD_FILE",
    }


def test_the_server_is_never_root_and_has_no_capability() -> None:
    assert server()["user"] == "999:999"
    assert server()["cap_drop"] == ["ALL"]
    assert "cap_add" not in server()


def test_a_changed_option_file_makes_the_container_anew() -> None:
    assert server()["labels"] != server(memory_mb=2048)["labels"]


def test_the_data_survives_the_container() -> None:
    assert "data:/var/lib/mysql" in server()["volumes"]


def test_postals_user_has_the_main_database_and_those_it_makes_and_no_other() -> None:
    assert rights(SETTINGS) == ["postal", "postal-server-%"]
    # An underscore would stand for any character in a grant.
    assert rights({"databases": {"main": "mail_main", "prefix": "p_x"}}) == ["mail\\_main", "p\\_x-server-%"]


@pytest.mark.parametrize("text", ["plain", "it's", "back\\slash", "'; DROP DATABASE postal; --"])
def test_a_password_stays_one_sql_literal(text: str) -> None:
    literal = sql_text(text)
    assert literal[0] == literal[-1] == "'"
    assert literal[1:-1].replace("''", "").replace("\\\\", "").count("'") == 0
