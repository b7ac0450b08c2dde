"""User agents for sample logs: today's browsers in many builds, desktop GIS, and one bot in fourteen."""

BOT_PERIOD = 14
"""Agents whose number leaves `BOT_REMAINDER` when divided by this are bots."""
BOT_REMAINDER = 5

_BOTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.{0}; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.{0}; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.{0}; +http://ahrefs.com/robot/)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.{0}; +https://openai.com/gptbot)",
    "python-requests/2.{0}",
    "curl/7.{0}",
    "Mozilla/5.0 (compatible; YandexBot/3.{0}; +http://yandex.com/bots)",
    "Go-http-client/1.{0}",
)
# {0} makes an agent unique (a build number), {1} is a major version.
_PEOPLE = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{1}.0.{0}.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{1}.{0}) Gecko/20100101 Firefox/{1}.{0}",
    "Mozilla/5.0 (Linux; Android 14; SM-A{0}B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{1}.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_{0} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.{0}"
    " Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{1}.0.0.0 Safari/537.36"
    " Edg/{1}.0.{0}.0",
    "Mozilla/5.0 QGIS/3{0}/Windows 11 Version 2009",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.{0} Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{1}.0.{0}.0 Safari/537.36",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:{1}.{0}) Gecko/20100101 Firefox/{1}.{0}",
    "Mozilla/5.0 (iPad; CPU OS 17_{0} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.{0}"
    " Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 13; Pixel 7 Build/{0}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{1}.0.0.0 Mobile"
    " Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{1}.0.0.0 Safari/537.36"
    " OPR/{0}.0.0.0",
    "Mozilla/5.0 QGIS/3{0}/Linux Debian GNU/Linux 12 (bookworm)",
)


def user_agents(count: int) -> list[str]:
    """That many different user agents; every prefix of the list has the same mix."""
    agents = []
    for number in range(count):
        turn, position = divmod(number, BOT_PERIOD)
        if position == BOT_REMAINDER:
            build, kind = divmod(turn, len(_BOTS))
            agents.append(_BOTS[kind].format(build + 1))
        else:
            template = _PEOPLE[position - (position > BOT_REMAINDER)]
            agents.append(template.format(turn + 1, 118 + turn % 27))
    return agents
