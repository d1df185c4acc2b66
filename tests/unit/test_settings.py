from pathlib import Path

import pytest

from app.settings import SettingsError, load_settings, powers_of_two
from tests.factories.signing import make_key, public_of


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No .env of the checkout, and none of the caller's variables."""
    monkeypatch.chdir(tmp_path)
    for name in ("KERASERVE_PORT", "KERASERVE_MODELS", "KERASERVE_API_KEYS_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_defaults_are_those_of_the_contract() -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.default_model) == ("127.0.0.1", 8000, "cifar10")
    assert settings.batch_policy().allowed_batch_sizes == (1, 2, 4, 8, 16, 32, 64)
    assert settings.batch_policy().batch_timeout_s == 0
    assert settings.request_policy().request_timeout_s == 10
    assert settings.version_policies() is None


def test_environment_wins_over_dotenv_and_flags_over_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".env").write_text("KERASERVE_PORT=1\nKERASERVE_HOST=1.1.1.1\nOTHER=x\n")
    monkeypatch.setenv("KERASERVE_PORT", "2")
    settings = load_settings(default_model="mine", port=None)
    assert (settings.port, settings.host, settings.default_model) == (2, "1.1.1.1", "mine")
    assert load_settings(port="3").port == 3


def test_unknown_name_is_refused_with_the_nearest_valid_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KERASERVE_MAX_BATCHSIZE", "8")
    Path(".env").write_text("KERASERVE_PROT=1\n")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).splitlines() == [
        "KERASERVE_MAX_BATCHSIZE (environment) is no setting; the nearest is "
        "KERASERVE_MAX_BATCH_SIZE",
        "KERASERVE_PROT (.env) is no setting; the nearest is KERASERVE_PORT",
    ]


def test_names_of_the_command_line_are_no_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERASERVE_URL", "http://localhost:8000")
    Path(".env").write_text("KERASERVE_API_KEY=ks_x\n")
    assert load_settings().api_keys_file is None


@pytest.mark.parametrize("guard", ["api_keys_file", "trusted_keys"])
@pytest.mark.parametrize("source", ["environment", ".env", "flag"])
def test_guard_that_is_named_as_nothing_does_not_open_the_server(
    source: str, guard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = f"KERASERVE_{guard.upper()}"
    if source == "environment":
        monkeypatch.setenv(variable, "")
    elif source == ".env":
        Path(".env").write_text(f"{variable}=\n")
    flags = {guard: ""} if source == "flag" else {}
    with pytest.raises(SettingsError, match=rf"{variable}.* is '': that names no "):
        load_settings(**flags)


def test_trusted_keys_of_commas_alone_are_none() -> None:
    with pytest.raises(SettingsError, match="KERASERVE_TRUSTED_KEYS is ' , ': that names no key"):
        load_settings(trusted_keys=" , ")


def test_trusted_keys_are_several_files(tmp_path: Path) -> None:
    one, two = (public_of(make_key(tmp_path, name)) for name in ("one", "two"))

    policy = load_settings(trusted_keys=f"{one}, {two}").trust_policy()

    assert [key.name for key in policy.keys] == ["one", "two"]
    assert not load_settings().trust_policy().asks


def test_trusted_key_that_is_not_there_is_an_error_of_its_setting() -> None:
    settings = load_settings(trusted_keys="gone.pub")
    with pytest.raises(SettingsError, match=r"gone\.pub cannot be read.*KERASERVE_TRUSTED_KEYS"):
        settings.trust_policy()


def test_file_of_keys_that_another_source_names_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("KERASERVE_API_KEYS_FILE=keys.json\n")
    monkeypatch.setenv("KERASERVE_API_KEYS_FILE", "")
    assert load_settings().api_keys_file == Path("keys.json")
    assert load_settings(api_keys_file="other.json").api_keys_file == Path("other.json")


def test_other_settings_that_are_empty_are_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERASERVE_MODELS", "")
    assert load_settings().models is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        pytest.param({"port": "x"}, "KERASERVE_PORT is 'x'", id="a word for a number"),
        pytest.param({"port": 70000}, "65535", id="above the range names the bound"),
        pytest.param({"engine": "torch"}, "KERASERVE_ENGINE is 'torch'", id="unknown engine"),
        pytest.param({"devices": "gpu:0,tpu:0"}, "tpu:0.*KERASERVE_DEVICES", id="no device"),
        pytest.param({"xla": "maybe"}, "KERASERVE_XLA is 'maybe'", id="neither on nor off"),
        pytest.param({"allowed_batch_sizes": "1,2", "max_batch_size": 4}, "4", id="last ≠ max"),
        pytest.param(
            {"max_images_per_request": 9, "max_queue_size": 8},
            "KERASERVE_MAX_QUEUE_SIZE, 8",
            id="a request that never fits the queue",
        ),
        pytest.param(
            {"max_upload_bytes": 9, "max_pending_upload_bytes": 8},
            "KERASERVE_MAX_PENDING_UPLOAD_BYTES, 8",
            id="a file that never fits",
        ),
        pytest.param({"drift_window": 199}, "KERASERVE_DRIFT_WINDOW.* 200", id="a short window"),
        pytest.param({"models": "a:b:c"}, "KERASERVE_MODELS", id="a policy that is none"),
        pytest.param(
            {"port": 9000, "admin_port": 9000}, "KERASERVE_ADMIN_PORT is 9000", id="one port twice"
        ),
        pytest.param(
            {"admin_host": "::1"}, "KERASERVE_ADMIN_PORT is not", id="an address of no port"
        ),
        pytest.param(
            {"tls_key_file": "key.pem"}, "KERASERVE_TLS_CERTIFICATE_FILE", id="half a certificate"
        ),
        pytest.param(
            {"trusted_proxies": "10.0.0.0/8,proxy"},
            "KERASERVE_TRUSTED_PROXIES: 'proxy'",
            id="a proxy by name",
        ),
        pytest.param(
            {"address_burst": 5}, "KERASERVE_ADDRESS_RATE_PER_S is not", id="a burst of no rate"
        ),
        pytest.param(
            {"key_rate_per_s": 5}, "KERASERVE_API_KEYS_FILE", id="limits of keys without keys"
        ),
    ],
)
def test_unusable_value_is_refused_naming_it_and_its_bound(
    flags: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(**flags)


def test_every_problem_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERASERVE_X", "1")
    with pytest.raises(SettingsError) as caught:
        load_settings(port=-1, max_queue_size=0)
    assert len(str(caught.value).splitlines()) == 3


def test_lists_are_read_from_commas() -> None:
    settings = load_settings(cors_origins="https://a.example, https://b.example")
    assert settings.cors_origins == ("https://a.example", "https://b.example")


def test_limits_are_off_unless_they_are_set(tmp_path: Path) -> None:
    assert load_settings().access_limits() is None
    limits = load_settings(address_rate_per_s=2, address_burst=9).access_limits()
    assert limits is not None
    assert limits.addresses is not None
    assert (limits.addresses.policy.rate_per_s, limits.addresses.policy.quota) == (2, 9)
    assert limits.keys is None
    limits = load_settings(key_max_concurrency=3, api_keys_file=tmp_path / "k").access_limits()
    assert limits is not None
    assert limits.keys is not None
    assert limits.keys.policy.max_concurrency == 3


def test_proxies_are_those_that_are_named_and_their_header_in_any_case() -> None:
    header = [(b"x-forwarded-for", b"6.6.6.6"), (b"forwarded", b"for=7.7.7.7")]
    assert load_settings().proxies().client_of("10.0.0.1", header) == "10.0.0.1"
    proxies = load_settings(trusted_proxies="10.0.0.0/8, ::1", proxy_header="Forwarded").proxies()
    assert proxies.client_of("10.0.0.1", header) == "7.7.7.7"
    assert proxies.client_of("::1", header) == "7.7.7.7"
    assert proxies.client_of("11.0.0.1", header) == "11.0.0.1"


def test_devices_and_xla_reach_the_engine_in_any_case_of_letters() -> None:
    policy = load_settings(devices="GPU:0, GPU:1", xla="ON", precision="Float16").engine_policy()
    assert (policy.devices, policy.xla, policy.precision) == (("gpu:0", "gpu:1"), "on", "float16")


@pytest.mark.parametrize(
    ("largest", "sizes"), [(1, (1,)), (8, (1, 2, 4, 8)), (48, (1, 2, 4, 8, 16, 32, 48))]
)
def test_powers_of_two_end_with_the_largest_itself(largest: int, sizes: tuple[int, ...]) -> None:
    assert powers_of_two(largest) == sizes
