package screen_test

import (
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/screen"
)

func person(id, given, family string) muster.ListEntry {
	return muster.ListEntry{List: "t", ID: id, Kind: muster.ListedIndividual, Names: []muster.ListedName{{Full: given + " " + family, Given: given, Family: family, Role: muster.NamePrimary, Quality: muster.NameStrong}}}
}

func firm(id, name string) muster.ListEntry {
	return muster.ListEntry{List: "t", ID: id, Kind: muster.ListedEntity, Names: []muster.ListedName{{Full: name, Role: muster.NamePrimary, Quality: muster.NameStrong}}}
}

func TestFinds(t *testing.T) {
	t.Parallel()
	x, err := screen.Build([]muster.ListEntry{
		person("1", "Ayman", "AL-ZAWAHIRI"), person("2", "Vladimir Vladimirovich", "PUTIN"), person("3", "Jong Un", "KIM"), person("4", "Muhammad", "ABD AL-RAHMAN"),
		firm("5", "DANDONG HONGXIANG INDUSTRIAL DEVELOPMENT CO., LTD."), person("6", "Leonardo", "DUARTE GUZMAN"), firm("7", "NATIONAL IRANIAN TANKER COMPANY"), person("8", "Fangwei", "LI"), firm("9", "BANCO NACIONAL DE CUBA"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"Ayman al-Zawahiri": "1", "Aiman Alzawahiri": "1", "أيمن الظواهري": "1", "Dr. Ayman Al Zawahry": "1",
		"Путин Владимир": "2", "Wladimir Putin": "2", "V. Putin": "2",
		"김정은": "3", "Kim Jongun": "3", "Kim Jong-eun": "3",
		"Mohammed Abdulrahman": "4", "محمد عبدالرحمن": "4", "Mohamed Abdurrahman": "4",
		"丹东鸿祥实业发展有限公司": "5", "Dandong Hong Xiang Industrial Development": "5",
		"Leonardoduarte Guzman": "6", "Leonardo Durate": "6", "Natl Iranian Tanker Co": "7", "李方伟": "8", "BANCO NACIONAL DE CUBA S.A.": "9",
	} {
		got := x.Search(&muster.ScreeningQuery{Names: []string{query}}, screen.Options{Floor: 0.3})
		if len(got) == 0 || got[0].Entry != want {
			t.Errorf("%s: %+v, want %s first", query, got, want)
			continue
		}
		if got[0].Score < 0.55 {
			e, _ := x.Explain(&muster.ScreeningQuery{Names: []string{query}}, "t", want, screen.Options{})
			t.Errorf("%s: %.3f %+v", query, got[0].Score, e)
		}
	}
}
