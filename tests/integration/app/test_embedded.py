"""The embedded services on real programs: they start, answer, refuse strangers, and keep what they were given."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import psycopg
import pytest
from fix_services import BrokerServer, ChainServer, PostgresServer, free_port, prepared, running, temporary_folder

from hanlu.app.embedded.broker import EmbeddedBroker, signs_in
from hanlu.app.embedded.chain import EmbeddedChain
from hanlu.app.embedded.postgres import EmbeddedPostgres
from hanlu.app.embedded.service import Work
from hanlu.app.settings import BrokerSettings, ChainSettings, DatabaseSettings
from hanlu.core.errors import FatalError


@pytest.mark.postgres
class TestPostgres:
    def test_server_speaks_utf8_and_utc_and_sorts_by_code_point(self, postgres_server: PostgresServer) -> None:
        with psycopg.connect(postgres_server.url) as connection:
            row = connection.execute(
                "SELECT current_setting('server_encoding'), current_setting('timezone'), datcollate "
                "FROM pg_database WHERE datname = current_database()"
            ).fetchone()
        assert row == ("UTF8", "UTC", "C")

    def test_edition_decides_whether_the_extension_is_on_offer(self, postgres_server: PostgresServer) -> None:
        with psycopg.connect(postgres_server.url) as connection:
            offered = connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'").fetchone()
        assert (offered is not None) == postgres_server.timescaledb

    def test_server_listens_on_no_tcp_port(self, plain_server: PostgresServer) -> None:
        with psycopg.connect(plain_server.url) as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)

    def test_data_and_edition_survive_a_kill(self) -> None:
        settings = DatabaseSettings(timescaledb="off", shared_buffers_mb=32)
        with temporary_folder() as folder:
            first = EmbeddedPostgres(folder / "pg", settings)
            prepared(first)
            with running(first, folder / "log") as child, psycopg.connect(first.url, autocommit=True) as connection:
                connection.execute("CREATE TABLE kept AS SELECT 寒露 FROM (VALUES ('桃')) AS v(寒露)")
                child.kill()
                child.wait()
            # Also when TimescaleDB could be had now: a cluster stays what it was made as.
            second = EmbeddedPostgres(folder / "pg", DatabaseSettings(shared_buffers_mb=32))
            prepared(second)
            assert "made without TimescaleDB" in second.description
            with running(second, folder / "log"), psycopg.connect(second.url) as connection:
                assert connection.execute("SELECT * FROM kept").fetchall() == [("桃",)]

    def test_folder_with_a_long_path_gets_its_socket_elsewhere_and_closed(self) -> None:
        with temporary_folder() as folder:
            service = EmbeddedPostgres(folder / ("long-" * 20) / "pg", DatabaseSettings(timescaledb="off"))
            service.folder.parent.mkdir(mode=0o711)
            prepared(service)
            sockets = Path(unquote(service.url.partition("host=")[2]))
            with running(service, folder / "log"):
                assert service.ready()
            assert folder not in sockets.parents
            assert sockets.stat().st_mode & 0o077 == 0
            sockets.chmod(0o777)
            with pytest.raises(FatalError, match="remove it"):
                service.prepare(Work(say=print))
            sockets.rmdir()

    def test_interrupted_creation_is_begun_anew(self) -> None:
        with temporary_folder() as folder:
            (folder / "pg" / "cluster" / "half").mkdir(parents=True)
            service = EmbeddedPostgres(folder / "pg", DatabaseSettings(timescaledb="off", shared_buffers_mb=32))
            prepared(service)
            with running(service, folder / "log"):
                assert service.ready()


@pytest.mark.broker
class TestBroker:
    def test_stranger_and_wrong_password_are_refused(self, broker: BrokerServer) -> None:
        assert signs_in(broker.host, broker.port, "gw-1", broker.password("gw-1"))
        assert not signs_in(broker.host, broker.port, "gw-1", "wrong")
        assert not signs_in(broker.host, broker.port, "nobody", "")

    def test_gateway_added_while_running_signs_in(self, broker: BrokerServer) -> None:
        broker.add_gateways("gw-late")
        assert signs_in(broker.host, broker.port, "gw-late", broker.password("gw-late"))

    def test_trial_broker_asks_for_the_login_too(self) -> None:
        with temporary_folder() as folder:
            settings = BrokerSettings(port=free_port(), kind="amqtt")
            service = EmbeddedBroker(folder / "broker", settings, gateways=("gw-1",))
            prepared(service)
            with running(service, folder / "log"):
                assert signs_in("127.0.0.1", settings.port, "gw-1", service.logins.password("gw-1"))
                assert not signs_in("127.0.0.1", settings.port, "gw-1", "wrong")
                assert not signs_in("127.0.0.1", settings.port, "nobody", "")


@pytest.mark.chain
class TestChain:
    def test_sender_has_funds_and_a_key_of_its_own(self, anvil: ChainServer) -> None:
        from web3 import Web3

        chain = Web3(Web3.HTTPProvider(anvil.url))
        assert chain.eth.get_balance(anvil.address) > 10**20
        assert chain.eth.accounts == []

    @pytest.mark.parametrize("how", ["stopped", "killed"])
    def test_blocks_survive(self, how: str) -> None:
        import time

        from web3 import Web3

        with temporary_folder() as folder:
            settings = ChainSettings(port=free_port(), state_interval_s=1)
            service = EmbeddedChain(folder / "chain", settings)
            prepared(service)
            with running(service, folder / "log") as child:
                chain = Web3(Web3.HTTPProvider(service.url))
                chain.provider.make_request("anvil_mine", ["0x5"])
                if how == "killed":
                    time.sleep(1.5)
                    child.kill()
                    child.wait()
            with running(service, folder / "log"):
                assert chain.eth.block_number >= 5

    def test_torn_state_falls_back_to_the_last_readable_one(self) -> None:
        from web3 import Web3

        with temporary_folder() as folder:
            service = EmbeddedChain(folder / "chain", ChainSettings(port=free_port()))
            prepared(service)
            with running(service, folder / "log"):
                chain = Web3(Web3.HTTPProvider(service.url))
                chain.provider.make_request("anvil_mine", ["0x3"])
            service.command()  # what a start does: keeps a copy of the good state
            state = folder / "chain" / "state.json"
            state.write_bytes(state.read_bytes()[:100])
            with running(service, folder / "log"):
                assert chain.eth.block_number == 3
