"""Names as the world writes them, for people who do not exist."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Script:
    """Ten given names, ten family names and four cities of one script; `name:ascii`, for addresses are ASCII."""

    given: str
    family: str
    cities: str
    family_first: str | None = None
    """What stands between family and given name where the family comes first."""

    def person(self, number: int) -> tuple[str, str, str]:
        """Name, local part of the address and city of one of its hundred people."""
        given, given_ascii = self.given.split()[number % 10].split(":")
        family, family_ascii = self.family.split()[number // 10 % 10].split(":")
        in_order = f"{given} {family}" if self.family_first is None else f"{family}{self.family_first}{given}"
        cities = self.cities.split()
        return in_order, f"{given_ascii}.{family_ascii}", cities[(number + number // 10) % len(cities)]


SCRIPTS = (
    Script(
        "Zoë:zoe Łukasz:lukasz Renée:renee José:jose Åsa:asa Jürgen:juergen Chloé:chloe Øystein:oystein Siân:sian "
        "Ángel:angel",
        "Müller:mueller Núñez:nunez Åkerström:akerstrom Çelik:celik Sørensen:sorensen Gonçalves:goncalves "
        "Wójcik:wojcik Nguyễn:nguyen Kovačić:kovacic Mägi:magi",
        "København Málaga Kraków Zürich",
    ),
    Script(
        "Ελένη:eleni Άννα:anna Κατερίνα:katerina Σοφία:sofia Δήμητρα:dimitra Ιωάννα:ioanna Βασιλική:vasiliki "
        "Χριστίνα:christina Ζωή:zoi Δάφνη:dafni",
        "Παπαδοπούλου:papadopoulou Οικονόμου:oikonomou Γεωργίου:georgiou Δημητρίου:dimitriou Νικολάου:nikolaou "
        "Βασιλείου:vasileiou Αντωνίου:antoniou Ιωάννου:ioannou Μακρή:makri Αλεξίου:alexiou",
        "Αθήνα Θεσσαλονίκη Πάτρα Ηράκλειο",
    ),
    Script(
        "Олена:olena Іван:ivan Наталія:nataliia Андрій:andrii Марія:mariia Тарас:taras Ірина:iryna Богдан:bohdan "
        "Юлія:yuliia Сергій:serhii",
        "Шевченко:shevchenko Коваленко:kovalenko Бондаренко:bondarenko Ткаченко:tkachenko Кравченко:kravchenko "
        "Олійник:oliinyk Мельник:melnyk Лисенко:lysenko Мороз:moroz Савченко:savchenko",
        "Київ Львів Одеса Харків",
    ),
    Script(
        "ليلى:layla أحمد:ahmad فاطمة:fatima يوسف:yusuf مريم:maryam عمر:omar نور:nour خالد:khalid سلمى:salma كريم:karim",
        "حداد:haddad خوري:khoury منصور:mansour صالح:saleh الشامي:alshami النجار:alnajjar حمدان:hamdan عباس:abbas "
        "ناصر:nasser سليمان:suleiman",
        "القاهرة بيروت عمّان تونس",
    ),
    Script(
        "נועה:noa דוד:david תמר:tamar יוסי:yossi מיכל:michal אורי:uri שירה:shira איתן:eitan יעל:yael רון:ron",
        "כהן:cohen לוי:levi מזרחי:mizrahi פרץ:peretz ביטון:biton דהן:dahan אברהם:avraham פרידמן:friedman "
        "שפירא:shapira גולן:golan",
        "ירושלים חיפה אילת נתניה",
    ),
    Script(
        "आरव:aarav अनन्या:ananya विवान:vivaan दीया:diya अर्जुन:arjun मीरा:meera रोहन:rohan काव्या:kavya ईशान:ishaan "
        "प्रिया:priya",
        "शर्मा:sharma वर्मा:verma गुप्ता:gupta सिंह:singh पटेल:patel मिश्रा:mishra जोशी:joshi मेहता:mehta यादव:yadav "
        "कुलकर्णी:kulkarni",
        "दिल्ली मुंबई जयपुर पुणे",
    ),
    Script(
        "伟:wei 芳:fang 娜:na 秀英:xiuying 敏:min 静:jing 丽:li 强:qiang 磊:lei 洋:yang",
        "王:wang 李:lee 张:zhang 刘:liu 陈:chen 杨:yong 赵:zhao 黄:huang 周:zhou 吴:wu",
        "北京 上海 成都 杭州",
        family_first="",
    ),
    Script(
        "陽子:yoko 健太:kenta さくら:sakura 翔:sho 美咲:misaki 大輔:daisuke 葵:aoi 拓也:takuya 愛:ai 蓮:ren",
        "佐藤:sato 鈴木:suzuki 高橋:takahashi 田中:tanaka 伊藤:ito 渡辺:watanabe 山本:yamamoto 中村:nakamura "
        "小林:kobayashi 加藤:kato",
        "東京 京都 札幌 福岡",
        family_first=" ",
    ),
    Script(
        "민준:minjun 서연:seoyeon 도윤:doyun 지우:jiwoo 하은:haeun 예준:yejun 수아:sua 지호:jiho 윤서:yunseo "
        "하준:hajun",
        "김:kim 이:yi 박:park 최:choi 정:jeong 강:kang 조:cho 윤:yoon 장:jang 임:lim",
        "서울 부산 대구 제주",
        family_first="",
    ),
    Script(
        "ნინო:nino გიორგი:giorgi მარიამ:mariam ლუკა:luka ანა:ana დავით:davit თამარ:tamari ლევან:levan სალომე:salome "
        "ირაკლი:irakli",
        "ბერიძე:beridze კაპანაძე:kapanadze გელაშვილი:gelashvili მაისურაძე:maisuradze გიორგაძე:giorgadze "
        "ლომიძე:lomidze წიკლაური:tsiklauri ბოლქვაძე:bolkvadze ხუციშვილი:khutsishvili ნოზაძე:nozadze",
        "თბილისი ბათუმი ქუთაისი თელავი",
    ),
)
"""Latin, Greek, Cyrillic, Arabic, Hebrew, Devanagari, Chinese, Japanese, Korean, Georgian."""
