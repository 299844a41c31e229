"""Which kind of device a user agent stands for (docs/profiles.md "Device")."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whichvariant.profiles import device
from whichvariant.profiles.device import LONGEST_USER_AGENT, device_of

KINDS = ("desktop", "mobile", "tablet", "unknown")

# A line is "what it is: user agent"; an indented one goes on. Two phrases are shortened.
TABLE = """\
[desktop]
chrome windows: Mozilla/5.0 (Windows NT 10.0; Win64; x64) <blink> Chrome/124.0.0.0 Safari/537.36
chrome mac: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) <blink> Chrome/124.0.0.0
  Safari/537.36
chrome linux: Mozilla/5.0 (X11; Linux x86_64) <blink> Chrome/124.0.0.0 Safari/537.36
chrome os: Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) <blink> Chrome/124.0.0.0 Safari/537.36
safari mac: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) <safari> Version/17.4.1
  Safari/605.1.15
firefox windows: Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:125.0) Gecko/20100101
  Firefox/125.0
firefox mac: Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:125.0) Gecko/20100101
  Firefox/125.0
firefox ubuntu: Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0
firefox fedora wayland: Mozilla/5.0 (Wayland; Linux x86_64; rv:109.0) Gecko/20100101
  Firefox/115.0
firefox freebsd: Mozilla/5.0 (X11; FreeBSD amd64; rv:121.0) Gecko/20100101 Firefox/121.0
edge windows: Mozilla/5.0 (Windows NT 10.0; Win64; x64) <blink> Chrome/124.0.0.0 Safari/537.36
  Edg/124.0.2478.51
edge legacy: Mozilla/5.0 (Windows NT 10.0; Win64; x64) <blink> Chrome/64.0.3282.140
  Safari/537.36 Edge/18.17763
edge mac: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) <blink> Chrome/124.0.0.0 Safari/537.36
  Edg/124.0.2478.51
internet explorer 11: Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko
internet explorer 11 touch: Mozilla/5.0 (Windows NT 6.3; WOW64; Trident/7.0; Touch; Tablet PC
  2.0; rv:11.0) like Gecko
internet explorer 8: Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0; .NET CLR
  2.0.50727; Tablet PC 2.0)
opera windows: Mozilla/5.0 (Windows NT 10.0; Win64; x64) <blink> Chrome/122.0.0.0 Safari/537.36
  OPR/108.0.0.0
opera presto: Opera/9.80 (Windows NT 6.1; WOW64) Presto/2.12.388 Version/12.18
vivaldi: Mozilla/5.0 (Windows NT 10.0; Win64; x64) <blink> Chrome/122.0.0.0 Safari/537.36
  Vivaldi/6.6.3271.57
electron: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) <blink> Slack/4.37.101
  Chrome/122.0.6261.156 Electron/29.3.0 Safari/537.36
ipados desktop class (same as a mac): Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) <safari>
  Version/17.5 Safari/605.1.15
the vendor's own example: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) <blink>
  Chrome/91.0.4472.114 Safari/537.36
windows arm chrome: Mozilla/5.0 (Windows NT 10.0; ARM64) <blink> Chrome/120.0.0.0 Safari/537.36
headless chrome: Mozilla/5.0 (X11; Linux x86_64) <blink> HeadlessChrome/124.0.6367.60
  Safari/537.36
windows xp safari: Mozilla/5.0 (Windows; U; Windows NT 5.1; en-US) AppleWebKit/533.19.4 (KHTML,
  like Gecko) Version/5.0.3 Safari/533.19.4
jsdom: Mozilla/5.0 (linux) <blink> jsdom/20.0.3
samsung dex / desktop site: Mozilla/5.0 (X11; Linux x86_64) <blink> SamsungBrowser/24.0
  Chrome/117.0.0.0 Safari/537.36
bot on a mac: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_5) <safari> Version/13.1.1
  Safari/605.1.15 (Applebot/0.1; +http://www.apple.com/go/applebot)
openharmony computer: Mozilla/5.0 (PC; OpenHarmony 5.0) <blink> Chrome/114.0.0.0 Safari/537.36
  ArkWeb/4.1.6.1
android app on a chromebook: Mozilla/5.0 (Linux; Android 9; ASUS Chromebook Flip C302) <blink>
  Chrome/85.0.4183.127 Safari/537.36
[mobile]
safari iphone: Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) <safari> Version/17.4.1
  Mobile/15E148 Safari/604.1
chrome iphone: Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) <safari>
  CriOS/124.0.6367.62 Mobile/15E148 Safari/604.1
firefox iphone: Mozilla/5.0 (iPhone; CPU iPhone OS 14_4_1 like Mac OS X) <safari> FxiOS/125.0
  Mobile/15E148 Safari/605.1.15
edge iphone: Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) <safari> Version/17.0
  EdgiOS/124.0.2478.50 Mobile/15E148 Safari/604.1
first iphone: Mozilla/5.0 (iPhone; U; CPU like Mac OS X; en) AppleWebKit/420+ (KHTML, like
  Gecko) Version/3.0 Mobile/1A543a Safari/419.3
ipod touch: Mozilla/5.0 (iPod touch; CPU iPhone OS 12_5_5 like Mac OS X) <safari> Version/12.1.2
  Mobile/15E148 Safari/604.1
chrome android reduced: Mozilla/5.0 (Linux; Android 10; K) <blink> Chrome/124.0.0.0 Mobile
  Safari/537.36
chrome pixel: Mozilla/5.0 (Linux; Android 14; Pixel 8) <blink> Chrome/124.0.6367.54 Mobile
  Safari/537.36
chrome galaxy s23: Mozilla/5.0 (Linux; Android 13; SM-S918B) <blink> Chrome/112.0.0.0 Mobile
  Safari/537.36
samsung internet phone: Mozilla/5.0 (Linux; Android 13; SAMSUNG SM-S918B) <blink>
  SamsungBrowser/21.0 Chrome/110.0.5481.154 Mobile Safari/537.36
samsung internet reduced: Mozilla/5.0 (Linux; Android 10; K) <blink> SamsungBrowser/25.0
  Chrome/121.0.0.0 Mobile Safari/537.36
firefox android phone: Mozilla/5.0 (Android 14; Mobile; rv:125.0) Gecko/125.0 Firefox/125.0
opera mini: Opera/9.80 (Android; Opera Mini/36.2.2254/119.132; U; id) Presto/2.12.423
  Version/12.16
opera mini feature phone: Opera/9.80 (J2ME/MIDP; Opera Mini/7.1.32052/29.3709; U; en)
  Presto/2.8.119 Version/11.10
opera mobile: Mozilla/5.0 (Linux; Android 13; SM-A515F) <blink> Chrome/120.0.0.0 Mobile
  Safari/537.36 OPR/79.0.4195.76
uc browser: Mozilla/5.0 (Linux; U; Android 11; en-US; RMX2189 Build/RP1A.200720.011) <blink>
  Version/4.0 Chrome/100.0.4896.58 UCBrowser/13.4.0.1306 Mobile Safari/537.36
miui browser: Mozilla/5.0 (Linux; U; Android 12; en-us; Redmi Note 9 Pro Build/SKQ1.211019.001)
  <blink> Version/4.0 Chrome/100.0.4896.127 Mobile Safari/537.36 XiaoMi/MiuiBrowser/14.8.3-gn
huawei browser: Mozilla/5.0 (Linux; Android 10; ELS-NX9; HMSCore 6.11.0.302) <blink>
  Chrome/99.0.4844.88 HuaweiBrowser/13.0.5.303 Mobile Safari/537.36
android webview: Mozilla/5.0 (Linux; Android 12; Pixel 6 Build/SQ3A.220705.004; wv) <blink>
  Version/4.0 Chrome/103.0.5060.71 Mobile Safari/537.36
facebook android: Mozilla/5.0 (Linux; Android 12; SM-G991B Build/SP1A.210812.016; wv) <blink>
  Version/4.0 Chrome/108.0.5359.128 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/396.1.0.28.104;]
facebook iphone: Mozilla/5.0 (iPhone; CPU iPhone OS 16_2 like Mac OS X) <safari> Mobile/20C65
  [FBAN/FBIOS;FBDV/iPhone14,5;FBMD/iPhone;FBSN/iOS;FBSV/16.2;FBSS/3;FBID/phone;FBLC/de_DE;FBOP/5]
instagram iphone: Mozilla/5.0 (iPhone; CPU iPhone OS 16_3_1 like Mac OS X) <safari> Mobile/20D67
  Instagram 270.0.0.13.83 (iPhone13,2; iOS 16_3_1; en_US; en-US; scale=3.00; 1170x2532;
  445843881)
wechat: Mozilla/5.0 (Linux; Android 11; M2012K11AC Build/RKQ1.200826.002; wv) <blink>
  Version/4.0 Chrome/86.0.4240.99 XWEB/4313 MMWEBSDK/20220805 Mobile Safari/537.36
  MicroMessenger/8.0.27.2220
android 2 browser: Mozilla/5.0 (Linux; U; Android 2.3.6; de-de; GT-S5830 Build/GINGERBREAD)
  AppleWebKit/533.1 (KHTML, like Gecko) Version/4.0 Mobile Safari/533.1
windows phone 8.1: Mozilla/5.0 (Mobile; Windows Phone 8.1; Android 4.0; ARM; Trident/7.0; Touch;
  rv:11.0; IEMobile/11.0; NOKIA; Lumia 520) like iPhone OS 7_0_3 Mac OS X AppleWebKit/537
  (KHTML, like Gecko) Mobile Safari/537
windows 10 mobile: Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) <blink>
  Chrome/52.0.2743.116 Mobile Safari/537.36 Edge/15.15063
blackberry 10: Mozilla/5.0 (BB10; Touch) AppleWebKit/537.10+ (KHTML, like Gecko)
  Version/10.0.9.2372 Mobile Safari/537.10+
blackberry 7: Mozilla/5.0 (BlackBerry; U; BlackBerry 9900; en) AppleWebKit/534.11+ (KHTML, like
  Gecko) Version/7.1.0.346 Mobile Safari/534.11+
kaios: Mozilla/5.0 (Mobile; Nokia_8110_4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5
nokia symbian: Mozilla/5.0 (SymbianOS/9.4; Series60/5.0 NokiaN97-1/20.0.019; Profile/MIDP-2.1
  Configuration/CLDC-1.1) AppleWebKit/525 (KHTML, like Gecko) BrowserNG/7.1.18124
googlebot smartphone: Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) <blink>
  Chrome/124.0.6367.60 Mobile Safari/537.36 (compatible; Googlebot/2.1;
  +http://www.google.com/bot.html)
harmony os: Mozilla/5.0 (Phone; OpenHarmony 5.0) <blink> Chrome/114.0.0.0 Safari/537.36
  ArkWeb/4.1.6.1 Mobile
bingbot mobile: Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) <blink>
  Chrome/112.0.0.0 Mobile Safari/537.36 (compatible; bingbot/2.0;
  +http://www.bing.com/bingbot.htm)
app that names an iphone: Storefront/4.2 (com.example.store; build:1; iPhone; iOS 17.4.0)
  Alamofire/5.8.0
palm webos phone: Mozilla/5.0 (webOS/1.4.5; U; en-US) AppleWebKit/532.2 (KHTML, like Gecko)
  Version/1.0 Safari/532.2 Pixi/1.0
[tablet]
ipad ios 9: Mozilla/5.0 (iPad; CPU OS 9_3_5 like Mac OS X) AppleWebKit/601.1.46 (KHTML, like
  Gecko) Version/9.0 Mobile/13G36 Safari/601.1
ipad mobile site: Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X) <safari> Version/17.4
  Mobile/15E148 Safari/604.1
first ipad: Mozilla/5.0 (iPad; U; CPU OS 3_2 like Mac OS X; en-us) AppleWebKit/531.21.10 (KHTML,
  like Gecko) Version/4.0.4 Mobile/7B334b Safari/531.21.10
chrome ipad: Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X) <safari> CriOS/124.0.6367.62
  Mobile/15E148 Safari/604.1
facebook ipad: Mozilla/5.0 (iPad; CPU OS 15_5 like Mac OS X) <safari> Mobile/19F77
  [FBAN/FBIOS;FBDV/iPad11,6;FBMD/iPad;FBSN/iPadOS;FBSV/15.5;FBSS/2;FBID/tablet;FBLC/en_US;FBOP/5]
chrome android tablet reduced: Mozilla/5.0 (Linux; Android 10; K) <blink> Chrome/124.0.0.0
  Safari/537.36
galaxy tab s8: Mozilla/5.0 (Linux; Android 13; SM-X700) <blink> Chrome/112.0.0.0 Safari/537.36
samsung internet tablet: Mozilla/5.0 (Linux; Android 9; SAMSUNG SM-T720) <blink>
  SamsungBrowser/14.0 Chrome/87.0.4280.141 Safari/537.36
nexus 7: Mozilla/5.0 (Linux; Android 4.4.4; Nexus 7 Build/KTU84P) <blink> Chrome/36.0.1985.135
  Safari/537.36
pixel c: Mozilla/5.0 (Linux; Android 7.0; Pixel C Build/NRD90M; wv) <blink> Version/4.0
  Chrome/52.0.2743.98 Safari/537.36
lenovo tab: Mozilla/5.0 (Linux; Android 12; Lenovo TB-J606F) <blink> Chrome/112.0.0.0
  Safari/537.36
firefox android tablet: Mozilla/5.0 (Android 13; Tablet; rv:125.0) Gecko/125.0 Firefox/125.0
kindle fire silk: Mozilla/5.0 (Linux; Android 9; KFMAWI) <blink> Silk/112.5.1 like
  Chrome/112.0.5615.213 Safari/537.36
kindle fire hdx silk: Mozilla/5.0 (Linux; U; Android 4.4.3; en-us; KFTHWI Build/KTU84M) <blink>
  Silk/44.1.81 like Chrome/44.0.2403.128 Safari/537.36
kindle fire silk desktop mode: Mozilla/5.0 (Macintosh; U; Intel Mac OS X 10_6_3; en-us;
  Silk/1.0.146.3-Gen4_12000410) AppleWebKit/533.16 (KHTML, like Gecko) Version/5.0 Safari/533.16
  Silk-Accelerated=true
kindle e-reader: Mozilla/5.0 (Linux; U; en-US) AppleWebKit/528.5+ (KHTML, like Gecko,
  Safari/528.5+) Version/4.0 Kindle/3.0 (screen 600x800; rotate)
blackberry playbook: Mozilla/5.0 (PlayBook; U; RIM Tablet OS 2.1.0; en-US) AppleWebKit/536.2+
  (KHTML, like Gecko) Version/7.2.1.0 Safari/536.2+
hp touchpad: Mozilla/5.0 (hp-tablet; Linux; hpwOS/3.0.0; U; en-US) AppleWebKit/534.6 (KHTML,
  like Gecko) wOSBrowser/233.70 Safari/534.6 TouchPad/1.0
windows rt: Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2; ARM; Trident/6.0; Touch)
galaxy tab that says mobile: Mozilla/5.0 (Linux; Android 11; SM-T738T) <blink>
  Chrome/88.0.4324.150 Mobile Safari/537.36
openharmony tablet: Mozilla/5.0 (Tablet; OpenHarmony 5.0) <blink> Chrome/114.0.0.0 Safari/537.36
  ArkWeb/4.1.6.1
app that names an ipad: Storefront/4.2 (iPad; iOS 16.6; Scale/2.00)
[unknown]
curl: curl/8.5.0
wget: Wget/1.21.4
python requests: python-requests/2.31.0
node fetch: node-fetch/1.0 (+https://github.com/bitinn/node-fetch)
undici: undici
node: node
axios: axios/1.6.8
okhttp (react native on android): okhttp/4.9.2
cfnetwork (react native on ios): Storefront/42 CFNetwork/1474 Darwin/23.0.0
googlebot plain: Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)
bingbot plain: Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)
googlebot desktop: Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1;
  +http://www.google.com/bot.html) Chrome/124.0.6367.60 Safari/537.36
facebook crawler: facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)
slackbot: Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)
gptbot: Mozilla/5.0 <blink>; compatible; GPTBot/1.1; +https://openai.com/gptbot
yandexbot: Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)
samsung tizen tv: Mozilla/5.0 (SMART-TV; LINUX; Tizen 5.0) <blink> Version/5.0 TV Safari/537.36
samsung tizen tv 2: Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/538.1 (KHTML, like
  Gecko) Version/6.0 TV Safari/538.1
lg webos tv: Mozilla/5.0 (Web0S; Linux/SmartTV) <blink> Chrome/87.0.4280.88 Safari/537.36
  WebAppManager
android tv bravia: Mozilla/5.0 (Linux; Android 9; BRAVIA 4K GB ATV3 Build/PTT1.190515.001.S52)
  <blink> Chrome/77.0.3865.92 Safari/537.36
chromecast google tv: Mozilla/5.0 (Linux; Android 12.0; Build/STTL.240508.005) <blink>
  Chrome/114.0.0.0 Safari/537.36 CrKey/1.56.500000 DeviceType/AndroidTV
chromecast: Mozilla/5.0 (X11; Linux armv7l) <blink> Chrome/90.0.4430.225 Safari/537.36
  CrKey/1.56.500000
fire tv stick: Mozilla/5.0 (Linux; Android 7.1.2; AFTMM Build/NS6265; wv) <blink> Version/4.0
  Chrome/70.0.3538.110 Mobile Safari/537.36
fire tv silk: Mozilla/5.0 (Linux; Android 7.1.2; AFTS) <blink> Silk/112.3.1 like
  Chrome/112.0.5615.213 Safari/537.36
apple tv: AppleTV11,1/11.1
roku: Roku/DVP-9.10 (519.10E04111A)
hbbtv: HbbTV/1.2.1 (;Panasonic;VIERA 2013;3.672;4101-0003 0002-0000;)
shield android tv: Mozilla/5.0 (Linux; Android 11; SHIELD Android TV Build/RQ1A.210105.003)
  <blink> Chrome/98.0.4758.101 Safari/537.36
mi box: Mozilla/5.0 (Linux; Android 9; MIBOX4 Build/PI) <blink> Chrome/98.0.4758.101
  Safari/537.36
playstation 4: Mozilla/5.0 (PlayStation 4 11.00) <safari> Version/13.0 Safari/605.1.15
playstation 5: Mozilla/5.0 (PlayStation; PlayStation 5/6.50) <safari> Version/15.4
  Safari/605.1.15
xbox one: Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) <blink> Chrome/58.0.3029.110
  Safari/537.36 Edge/16.16299
xbox series x edge: Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox Series X) <blink>
  Chrome/103.0.0.0 Safari/537.36 Edge/44.18363.8131
nintendo switch: Mozilla/5.0 (Nintendo Switch; WifiWebAuthApplet) AppleWebKit/609.4 (KHTML, like
  Gecko) NF/6.0.2.21.3 NintendoBrowser/5.1.0.22474
playstation vita: Mozilla/5.0 (PlayStation Vita 3.61) AppleWebKit/537.73 (KHTML, like Gecko)
  Silk/3.2
quest 2: Mozilla/5.0 (X11; Linux x86_64; Quest 2) <blink> OculusBrowser/23.2.0.4.49.401374055
  SamsungBrowser/4.0 Chrome/104.0.5112.111 VR Safari/537.36
apple watch app: Storefront/1 CFNetwork/1240.0.4 Darwin/20.5.0
galaxy watch: Mozilla/5.0 (Linux; Tizen 2.3; SAMSUNG SM-R730A) AppleWebKit/537.3 (KHTML, like
  Gecko) Version/2.3 Mobile Safari/537.3
tesla: Mozilla/5.0 (X11; GNU/Linux) <blink> Chromium/79.0.3945.130 Chrome/79.0.3945.130
  Safari/537.36 Tesla/2020.16.2.1-e99c70fff409
echo show: Mozilla/5.0 (Linux; Android 5.1.1; AEOKN) <blink> Silk/108.4.6 like
  Chrome/108.0.5359.220 Safari/537.36
nest hub: Mozilla/5.0 (Fuchsia) <blink> Chrome/114.0.0.0 Safari/537.36 CrKey/1.56.500000
word salad: hello world
bare mozilla: Mozilla/5.0
dalvik on a phone: Dalvik/2.1.0 (Linux; U; Android 13; SM-S918B Build/TP1A.220624.014)
philips television: Opera/9.80(Linux armv7l; U; CE-HTML/1.0 NETTV/3.0.1; PHILIPS-AVM-2012; xx)
  Presto/2.10.250 Version/11.6
pico headset: Mozilla/5.0 (X11; Linux x86_64; PICO 4 OS5.8.2 like Quest) <blink>
  PicoBrowser/3.3.38 Chrome/105.0.5195.68 VR Safari/537.36
"""

PHRASES = {
    "<blink>": "AppleWebKit/537.36 (KHTML, like Gecko)",
    "<safari>": "AppleWebKit/605.1.15 (KHTML, like Gecko)",
}


def user_agents() -> list[tuple[str, str, str]]:
    """The table's rows as (kind, what it is, user agent)."""
    kind = ""
    rows: list[tuple[str, str, str]] = []
    for line in TABLE.replace("\n  ", " ").splitlines():
        if line.startswith("["):
            kind = line.strip("[]")
            continue
        name, _, user_agent = line.partition(": ")
        for short, phrase in PHRASES.items():
            user_agent = user_agent.replace(short, phrase)
        rows.append((kind, name, user_agent))
    return rows


ROWS = user_agents()


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing cached and nothing loaded, as in a process that has just started."""
    device._kind_of.cache_clear()
    monkeypatch.setattr(device, "_resolver", None)


def seconds(user_agent: str) -> float:
    """The shortest of several readings, none of them from the cache."""
    shortest = float("inf")
    for _ in range(7):
        device._kind_of.cache_clear()
        start = time.perf_counter()
        device_of(user_agent)
        shortest = min(shortest, time.perf_counter() - start)
    return shortest


class TestKinds:
    @pytest.mark.parametrize(
        ("kind", "user_agent"),
        [(kind, user_agent) for kind, _, user_agent in ROWS],
        ids=[f"{kind}-{name}" for kind, name, _ in ROWS],
    )
    def test_is_told(self, kind: str, user_agent: str) -> None:
        assert device_of(user_agent) == kind

    def test_table_is_as_large_as_it_looks(self) -> None:
        assert len(ROWS) >= 120
        assert {kind for kind, _, _ in ROWS} == set(KINDS)
        assert len({user_agent for _, _, user_agent in ROWS}) >= len(ROWS) - 1

    def test_no_user_agent_is_a_missing_attribute(self) -> None:
        assert device_of(None) is None

    @pytest.mark.parametrize("user_agent", ["", " ", "\x00", "\ud800", "😀" * 3000, "-"])
    def test_a_text_that_tells_nothing_is_unknown(self, user_agent: str) -> None:
        assert device_of(user_agent) == "unknown"

    def test_text_outside_ascii_does_not_hide_the_rest(self) -> None:
        phone = (
            "Mozilla/5.0 (Linux; Android 14; Hülle \ud800 桜) Chrome/124.0.0.0 Mobile Safari/537.36"
        )
        assert device_of(phone) == "mobile"


class TestHostileTexts:
    @settings(deadline=None)
    @given(st.text(st.characters(codec=None), max_size=3000))
    def test_any_text_has_a_kind(self, user_agent: str) -> None:
        assert device_of(user_agent) in KINDS

    @settings(deadline=None)
    @given(
        st.lists(
            st.sampled_from([*sorted({word for row in ROWS for word in row[2].split()}), ";", "("]),
            max_size=60,
        )
    )
    def test_any_order_of_real_words_has_a_kind(self, words: list[str]) -> None:
        assert device_of(" ".join(words)) in KINDS

    def test_only_the_beginning_counts(self) -> None:
        phone = "Mozilla/5.0 (Linux; Android 10; K) Chrome/124.0.0.0 Mobile Safari/537.36"
        at_the_end = " " * (LONGEST_USER_AGENT - len(phone))
        assert device_of(at_the_end + phone) == "mobile"
        assert device_of(at_the_end + " " + phone[:-1] + "iPad") == "mobile"
        assert device_of(" " * LONGEST_USER_AGENT + phone) == "unknown"

    @pytest.mark.parametrize(
        "unit",
        [
            "a",
            "1.",
            "; ",
            "(",
            "bot",
            "gigabot",
            "Android; ",
            "; Android 9; ",
            "; Build/",
            "Mozilla/5.0 (Linux; Android 9; ",
            "1/1 CFNetwork ",
            "Windows NT ",
            "HbbTV/1.1.1 (; ",
            "KFAAAAAA",
            "SM-T",
        ],
    )
    def test_time_grows_with_the_length_and_no_faster(self, unit: str) -> None:
        device_of("loads the library")
        short = seconds((unit * LONGEST_USER_AGENT)[: LONGEST_USER_AGENT // 8])
        full = seconds((unit * LONGEST_USER_AGENT)[:LONGEST_USER_AGENT])
        # Eight times the text: 64 times the time if it were quadratic.
        assert full < 32 * short

    def test_a_huge_text_costs_what_its_beginning_costs(self) -> None:
        device_of("loads the library")
        unit = "Android 9; Build/ Mobile bot "
        longest = seconds((unit * LONGEST_USER_AGENT)[:LONGEST_USER_AGENT])
        assert seconds(unit * 300_000) < 8 * longest


class TestCache:
    def test_is_bounded_in_entries_and_in_the_length_of_each(self) -> None:
        device._kind_of.cache_clear()
        bound = device._kind_of.cache_info().maxsize
        assert bound is not None
        assert bound * LONGEST_USER_AGENT * 4 <= 16 * 2**20
        huge = "x" * 5_000_000
        device_of(huge)
        device_of(huge + "y")
        # One entry for both: what is kept is what was looked at.
        assert device._kind_of.cache_info().currsize == 1

    def test_answers_again_much_faster(self) -> None:
        user_agent = ROWS[0][2]
        cold = seconds(user_agent)
        start = time.perf_counter()
        for _ in range(1000):
            device_of(user_agent)
        assert (time.perf_counter() - start) / 1000 < cold / 5


class TestLoading:
    def test_waits_for_the_first_user_agent(self) -> None:
        code = (
            "import sys; from whichvariant.profiles.device import device_of; device_of(None);"
            "assert not {'ua_parser', 'ua_parser_rs', 'ua_parser_builtins'} & {*sys.modules};"
            "assert device_of('curl/8.5.0') == 'unknown'; assert 'ua_parser_rs' in sys.modules"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

    @pytest.mark.usefixtures("unread")
    def test_happens_once_however_many_threads_come_first(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import ua_parser.regex

        built: list[object] = []
        make = ua_parser.regex.Resolver

        def counted(matchers: Any) -> Any:
            built.append(matchers)
            time.sleep(0.05)
            return make(matchers)

        monkeypatch.setattr(ua_parser.regex, "Resolver", counted)
        wrong: list[str] = []
        ready = threading.Barrier(8)

        def ask(offset: int) -> None:
            ready.wait()
            for kind, name, user_agent in [*ROWS[offset:], *ROWS[:offset]] * 3:
                if device_of(user_agent) != kind:
                    wrong.append(name)

        threads = [threading.Thread(target=ask, args=(offset * 15,)) for offset in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert len(built) == 1
