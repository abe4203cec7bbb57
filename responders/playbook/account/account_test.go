package account

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/tenantsim"
	"portcullis/responders/playbook"
)

func TestAnAccountIsTakenBack(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.takenOver(tenantsim.NewUser{})
	_, err := w.begin("account-takeover", victim)
	require.NoError(t, err)
	require.NoError(t, w.settle(5*time.Minute))
	a := w.account(victim)
	require.True(t, a.Blocked)
	require.Empty(t, a.Sessions)
	require.Empty(t, a.RefreshTokens)
	require.Zero(t, a.RememberedBrowsers)
	require.Equal(t, "PATCH /api/v2/users/"+victim, w.writes[0], "the block comes first")
	mails := w.Mails()
	require.Len(t, mails, 1)
	require.Equal(t, "ann@example.com", mails[0].To)
	_, err = w.Login(victim, attacker)
	require.ErrorIs(t, err, tenantsim.ErrUserBlocked)
	run := w.only()
	require.Equal(t, playbook.Running, run.State)
	require.True(t, w.step("changed").Waits)
	require.NotEmpty(t, run.Facts[FactRemains])

	w.resetBy(home)
	require.NoError(t, w.settle(5*time.Minute))
	require.Equal(t, playbook.Done, w.only().State, w.only())
	require.False(t, w.account(victim).Blocked)
	_, err = w.Login(victim, home)
	require.NoError(t, err)
	marker := w.account(victim).AppMetadata["portcullis"].(map[string]any)
	require.Equal(t, run.ID, marker["case"])
	require.NotEmpty(t, marker["probation_until"])
}

func TestTheAttackersOwnResetLetsNobodyIn(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.takenOver(tenantsim.NewUser{})
	_, err := w.begin("account-takeover", victim)
	require.NoError(t, err)
	require.NoError(t, w.settle(5*time.Minute))
	w.resetBy(attacker) // the mailbox is in the attacker's hands too
	require.NoError(t, w.settle(5*time.Minute))
	require.True(t, w.account(victim).Blocked)
	require.True(t, w.step("changed").Waits)
	require.NoError(t, w.settle(25*time.Hour))
	require.Equal(t, playbook.StepAsks, w.step("changed").State)
	require.True(t, w.account(victim).Blocked)
}

func TestAResetThatWasUnderWayBeforeOursLetsNobodyIn(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.takenOver(tenantsim.NewUser{})
	w.RequestReset("ann@example.com", home)
	before := w.Mails()[0]
	require.NoError(t, w.ResetPassword(before.Link, home))
	_, err := w.begin("account-takeover", victim)
	require.NoError(t, err)
	require.NoError(t, w.settle(5*time.Minute))
	require.True(t, w.account(victim).Blocked)
	require.True(t, w.step("changed").Waits)
}

func TestAUserWhomAHumanBlockedIsContainedAndNeverUnblocked(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.takenOver(tenantsim.NewUser{})
	require.NoError(t, w.HumanBlocks(victim))
	_, err := w.begin("account-takeover", victim)
	require.NoError(t, err)
	require.NoError(t, w.settle(time.Hour))
	run := w.only()
	require.Equal(t, playbook.Done, run.State)
	require.Equal(t, BySomebody, run.Facts[FactBlockedBy])
	require.Equal(t, playbook.StepSkipped, w.step("unblock").State)
	a := w.account(victim)
	require.True(t, a.Blocked)
	require.Empty(t, a.Sessions, "it is contained all the same")
	require.Empty(t, w.Mails())
	for _, write := range w.writes {
		require.False(t, strings.HasPrefix(write, "PATCH /api/v2/users/"), write)
	}
}

func TestAHumanWhoUnblocksMidwayIsAskedAndNotFought(t *testing.T) {
	w := newWorld(t, tenantsim.Options{RevokeLag: 30 * time.Second})
	w.takenOver(tenantsim.NewUser{})
	_, err := w.begin("account-takeover", victim)
	require.NoError(t, err)
	require.NoError(t, w.settle(time.Second))
	require.NoError(t, w.HumanUnblocks(victim))
	require.NoError(t, w.settle(time.Hour))
	run := w.only()
	require.Equal(t, playbook.Awaiting, run.State)
	require.Contains(t, run.Current().Note, "our block is gone")
	require.False(t, w.account(victim).Blocked)
	require.Empty(t, w.Mails())
}

func TestAUserWhoIsDeletedMidwayMakesTheRunMoot(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.takenOver(tenantsim.NewUser{})
	_, err := w.begin("account-takeover", victim)
	require.NoError(t, err)
	require.NoError(t, w.settle(time.Second))
	require.NoError(t, w.Tenant.DeleteUser(victim))
	require.NoError(t, w.settle(time.Hour))
	require.Equal(t, playbook.Moot, w.only().State)
}

func TestAnAccountWithoutAPasswordIsContainedAndAPersonIsAsked(t *testing.T) {
	for _, id := range []string{"google-oauth2|7", "samlp|acme|x", "email|x", "sms|x"} {
		w := newWorld(t, tenantsim.Options{})
		w.takenOver(tenantsim.NewUser{ID: id})
		_, err := w.begin("account-takeover", id)
		require.NoError(t, err)
		require.NoError(t, w.settle(2*time.Hour))
		require.Equal(t, playbook.StepAsks, w.step("reset").State, id)
		require.Contains(t, w.step("reset").Note, "no password here")
		a := w.account(id)
		require.True(t, a.Blocked)
		require.Empty(t, a.Sessions)
		require.Empty(t, w.Mails())
	}
}

func TestAMailIsNeverSentToAnAddressThatCameInTheAttack(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.takenOver(tenantsim.NewUser{})
	require.NoError(t, w.ChangeEmail(victim, attacker, "mallory@example.net"))
	w.Advance(time.Minute)
	_, err := w.begin("account-takeover", victim)
	require.NoError(t, err)
	require.NoError(t, w.settle(2*time.Hour))
	require.Equal(t, playbook.StepAsks, w.step("reset").State, w.only().Facts)
	require.Contains(t, w.step("reset").Note, "e-mail was changed since the attack began")
	require.Empty(t, w.Mails())
}

func TestOnlyFactorsOfTheAttackAreRemovedAndOnlyWithAYes(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.AddUser(tenantsim.NewUser{ID: victim, Email: "ann@example.com", IP: home})
	mine, err := w.AddFactor(victim, home, "phone")
	require.NoError(t, err)
	w.Advance(time.Hour)
	_, err = w.Login(victim, attacker)
	require.NoError(t, err)
	theirs, err := w.AddFactor(victim, attacker, "passkey")
	require.NoError(t, err)
	_, err = w.begin("account-takeover", victim)
	require.NoError(t, err)
	require.NoError(t, w.settle(10*time.Minute))
	require.Equal(t, playbook.StepAsks, w.step("factors").State)
	require.ElementsMatch(t, []string{mine, theirs}, w.account(victim).Factors)
	_, err = w.give(playbook.Order{Run: w.only().ID, Answer: playbook.Approve})
	require.NoError(t, err)
	require.NoError(t, w.settle(10*time.Minute))
	require.Equal(t, []string{mine}, w.account(victim).Factors)
}

func TestWithoutTheEnterprisePlanWhatRemainsIsSaid(t *testing.T) {
	w := newWorld(t, tenantsim.Options{NoSessionManagement: true})
	w.takenOver(tenantsim.NewUser{})
	_, err := w.begin("account-takeover", victim)
	require.NoError(t, err)
	require.NoError(t, w.settle(30*time.Minute))
	require.True(t, w.account(victim).Blocked)
	require.Zero(t, w.account(victim).Grants)
	run := w.only()
	require.NotEmpty(t, run.Trouble())
	require.Contains(t, run.Trouble()[0], "revoke: ")
}

func TestWithoutAMailProviderAPersonIsAsked(t *testing.T) {
	w := newWorld(t, tenantsim.Options{NoMailProvider: true})
	w.takenOver(tenantsim.NewUser{})
	_, err := w.begin("account-takeover", victim)
	require.NoError(t, err)
	require.NoError(t, w.settle(2*time.Hour))
	require.Equal(t, playbook.StepAsks, w.step("reset").State)
	require.Contains(t, w.step("reset").Note, "no mail provider")
}

func TestAMissingScopeIsSaidAndContainmentGoesOn(t *testing.T) {
	var some []string
	for _, s := range tenantsim.AllScopes() {
		if s != "delete:sessions" && s != "delete:grants" {
			some = append(some, s)
		}
	}
	w := newWorld(t, tenantsim.Options{Scopes: some})
	w.takenOver(tenantsim.NewUser{})
	_, err := w.begin("account-takeover", victim)
	require.NoError(t, err)
	require.NoError(t, w.settle(30*time.Minute))
	require.True(t, w.account(victim).Blocked)
	require.Contains(t, strings.Join(w.only().Trouble(), "\n"), "delete:sessions")
}

func TestALoginUnderWayAtTheBlockIsEndedAsWell(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.takenOver(tenantsim.NewUser{})
	finish, err := w.BeginLogin(victim, attacker)
	require.NoError(t, err)
	_, err = w.begin("account-takeover", victim)
	require.NoError(t, err)
	require.NoError(t, w.settle(20*time.Second))
	_, err = finish()
	require.NoError(t, err)
	require.NotEmpty(t, w.account(victim).Sessions)
	require.NoError(t, w.settle(5*time.Minute))
	require.Empty(t, w.account(victim).Sessions)
	require.Empty(t, w.account(victim).RefreshTokens)
}

func TestTheOthersOfTheCatalogDoWhatTheySay(t *testing.T) {
	t.Run("fraudulent-signups", func(t *testing.T) {
		w := newWorld(t, tenantsim.Options{})
		w.AddUser(tenantsim.NewUser{ID: "auth0|fraud", Email: "x1@example.net", Created: start.Add(40 * time.Minute)})
		w.AddUser(tenantsim.NewUser{ID: "auth0|old", Email: "old@example.com"})
		w.Advance(time.Hour)
		for _, id := range []string{"auth0|fraud", "auth0|old"} {
			_, err := w.begin("fraudulent-signups", id)
			require.NoError(t, err)
		}
		require.NoError(t, w.settle(10*time.Minute))
		require.True(t, w.account("auth0|fraud").Blocked)
		w.approveAll()
		require.NoError(t, w.settle(10*time.Minute))
		_, there := w.Account("auth0|fraud")
		require.False(t, there)
		require.True(t, w.account("auth0|old").Blocked, "an account of before the attack is not deleted, whatever is approved")
	})
	t.Run("leaked-client-secret", func(t *testing.T) {
		w := newWorld(t, tenantsim.Options{})
		_, err := w.begin("leaked-client-secret", "app1")
		require.NoError(t, err)
		require.NoError(t, w.settle(10*time.Minute))
		require.Empty(t, w.writes, "a person decides when")
		w.approveAll()
		require.NoError(t, w.settle(10*time.Minute))
		require.Len(t, w.writes, 1)
	})
}
